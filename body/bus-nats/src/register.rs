//! What this body serves, by organ, as discovery tells it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use cbs::{FLOW_ORGAN, Target};

use crate::serve::Served;

/// The most endpoints that one service instance tells of: an INFO of many more does not fit
/// into a message.
pub(crate) const ENDPOINTS_MAX: usize = 500;

/// All that a body serves.
#[derive(Default)]
pub(crate) struct Register(RwLock<BTreeMap<String, Vec<Arc<Served>>>>);

impl Register {
    /// Adds a target; it stays until the registration is dropped.
    pub(crate) fn add(self: &Arc<Self>, served: Arc<Served>) -> Registration {
        let organ = organ(&served.service.target).to_owned();
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(organ).or_default().push(served.clone());
        Registration { register: self.clone(), served }
    }

    /// What serves a target, if anything does.
    pub(crate) fn find(&self, target: &Target) -> Option<Arc<Served>> {
        let register = self.0.read().unwrap_or_else(PoisonError::into_inner);
        register.get(organ(target))?.iter().find(|served| served.service.target == *target).cloned()
    }

    /// The organs that have targets.
    pub(crate) fn organs(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// How many service instances an organ takes.
    pub(crate) fn instances(&self, organ: &str) -> usize {
        let register = self.0.read().unwrap_or_else(PoisonError::into_inner);
        register.get(organ).map_or(0, |served| served.len().div_ceil(ENDPOINTS_MAX))
    }

    /// What one service instance of an organ tells of.
    pub(crate) fn instance(&self, organ: &str, number: usize) -> Vec<Arc<Served>> {
        let register = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let chunk = register.get(organ).and_then(|served| served.chunks(ENDPOINTS_MAX).nth(number));
        chunk.unwrap_or_default().to_vec()
    }

    fn remove(&self, served: &Arc<Served>) {
        let mut register = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let organ = organ(&served.service.target);
        if let Some(found) = register.get_mut(organ) {
            found.retain(|other| !Arc::ptr_eq(other, served));
            if found.is_empty() {
                register.remove(organ);
            }
        }
    }
}

/// The service that a target belongs to: a cell's organ, `flow` for flows.
pub(crate) fn organ(target: &Target) -> &str {
    match target {
        Target::Cell(name) => name.organ(),
        Target::Flow(_) | Target::Topic(_) => FLOW_ORGAN,
    }
}

/// The endpoint's name: the cell's part alone.
pub(crate) fn endpoint(target: &Target) -> &str {
    match target {
        Target::Cell(name) => name.part(),
        Target::Flow(name) => name.as_str(),
        Target::Topic(name) => name.as_str(),
    }
}

/// A target's place in the register; dropping it takes the target out.
pub(crate) struct Registration {
    register: Arc<Register>,
    served: Arc<Served>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.register.remove(&self.served);
    }
}
