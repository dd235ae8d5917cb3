//! Targets that this body hosts, by organ, as discovery reports them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use cbs::{FLOW_ORGAN, Service, Subject, Target};

use crate::serve::Served;

/// Limit of the endpoints that one service instance reports: an INFO of many more does not fit into
/// a message.
pub(crate) const ENDPOINTS_MAX: usize = 500;

/// All targets that a body hosts: those that it serves, and those that it only announces, such as a
/// cell that is being restarted.
#[derive(Default)]
pub(crate) struct Register(RwLock<BTreeMap<String, Organ>>);

#[derive(Default)]
struct Organ {
    served: Vec<Arc<Served>>,
    announced: Vec<Arc<Listing>>,
}

/// A target as discovery reports it.
pub(crate) struct Listing {
    pub(crate) service: Service,
    pub(crate) subject: Subject,
}

impl Register {
    /// Adds a target that is served; it stays until the registration is dropped.
    pub(crate) fn add(self: &Arc<Self>, served: Arc<Served>) -> Registration {
        self.change(&served.service.target, |organ| organ.served.push(served.clone()));
        Registration { register: self.clone(), served }
    }

    /// Adds a target that is listed even while it is not served, until the announcement is dropped.
    pub(crate) fn announce(self: &Arc<Self>, listing: Arc<Listing>) -> Announced {
        self.change(&listing.service.target, |organ| organ.announced.push(listing.clone()));
        Announced { register: self.clone(), listing }
    }

    /// Returns what serves a target, if anything does.
    pub(crate) fn find(&self, target: &Target) -> Option<Arc<Served>> {
        let register = self.0.read().unwrap_or_else(PoisonError::into_inner);
        register
            .get(organ(target))?
            .served
            .iter()
            .find(|served| served.service.target == *target)
            .cloned()
    }

    /// Returns the organs that have targets.
    pub(crate) fn organs(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Returns the number of service instances that an organ needs.
    pub(crate) fn instances(&self, organ: &str) -> usize {
        let register = self.0.read().unwrap_or_else(PoisonError::into_inner);
        register.get(organ).map_or(0, |organ| organ.listings().count().div_ceil(ENDPOINTS_MAX))
    }

    /// Returns the listings that one service instance of an organ reports.
    pub(crate) fn instance(&self, organ: &str, number: usize) -> Vec<Listing> {
        let register = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let skipped = number.saturating_mul(ENDPOINTS_MAX);
        let listings =
            register.get(organ).map(|organ| organ.listings().skip(skipped).take(ENDPOINTS_MAX));
        let own = |(service, subject): (&Service, &Subject)| Listing {
            service: service.clone(),
            subject: subject.clone(),
        };
        listings.map(|listings| listings.map(own).collect()).unwrap_or_default()
    }

    fn change(&self, target: &Target, change: impl FnOnce(&mut Organ)) {
        let mut register = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let found = register.entry(organ(target).to_owned()).or_default();
        change(found);
        if found.served.is_empty() && found.announced.is_empty() {
            register.remove(organ(target));
        }
    }
}

impl Organ {
    /// Returns the served targets, then those that are announced and not served now.
    fn listings(&self) -> impl Iterator<Item = (&Service, &Subject)> {
        let served: HashSet<&Target> =
            self.served.iter().map(|served| &served.service.target).collect();
        let announced = self.announced.iter().map(|listing| (&listing.service, &listing.subject));
        let away = announced.filter(move |(service, _)| !served.contains(&service.target));
        self.served.iter().map(|served| (&served.service, &served.subject)).chain(away)
    }
}

/// Returns the service that a target belongs to: a cell's organ, `flow` for flows.
pub(crate) fn organ(target: &Target) -> &str {
    match target {
        Target::Cell(name) => name.organ(),
        Target::Flow(_) | Target::Topic(_) => FLOW_ORGAN,
    }
}

/// Returns the endpoint's name: only the cell's part.
pub(crate) fn endpoint(target: &Target) -> &str {
    match target {
        Target::Cell(name) => name.part(),
        Target::Flow(name) => name.as_str(),
        Target::Topic(name) => name.as_str(),
    }
}

/// Entry of a served target in the register. Dropping it removes the target.
pub(crate) struct Registration {
    register: Arc<Register>,
    served: Arc<Served>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let served = &self.served;
        self.register.change(&served.service.target, |organ| {
            organ.served.retain(|other| !Arc::ptr_eq(other, served));
        });
    }
}

/// Entry that keeps a target in the answers to discovery, also while it is not served. Dropping it
/// removes the target.
#[must_use = "dropping it takes the target out"]
pub struct Announced {
    register: Arc<Register>,
    listing: Arc<Listing>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        let listing = &self.listing;
        let target = &listing.service.target;
        self.register
            .change(target, |organ| organ.announced.retain(|other| !Arc::ptr_eq(other, listing)));
    }
}
