//! One target's calls, shared between its handlers and a canary.
//!
//! A canary is not known to the bus. It stands behind the handlers that serve its target in this
//! body. They pass on its share of all calls that reach them, from NATS and from this body. So it
//! gets no call directly, and removing it needs no message to a server.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use cbs::{
    BodyBus, BoxFuture, BusError, Envelope, EventStream, Handler, Service, Serving, Subscription,
    Text,
};

use crate::registry::Member;

/// Link between a target's handlers and its canaries; one for each target in a body.
///
/// Shares are counted, not random: with ten percent exactly every tenth call goes to the canary.
#[derive(Default)]
pub struct TrafficSplit {
    plan: Mutex<Plan>,
    /// Share that calls read: `None` if no canary has a share.
    now: ArcSwapOption<Sharing>,
    calls: AtomicU64,
}

#[derive(Default)]
struct Plan {
    /// Canaries by name.
    canaries: Vec<(Text, Arc<Member>)>,
    /// Name of the canary with a share, and its percentage of the calls.
    share: Option<(Text, u8)>,
}

struct Sharing {
    canary: Arc<Member>,
    percent: u64,
}

impl TrafficSplit {
    /// Gives the canary of this name this percentage of the calls from now on; `None`: no canary
    /// gets any. A canary that is not served yet gets its share when it is.
    pub fn share(&self, share: Option<(Text, u8)>) {
        self.change(|plan| plan.share = share);
    }

    fn join(&self, name: Text, canary: Arc<Member>) {
        self.change(|plan| plan.canaries.push((name, canary)));
    }

    fn leave(&self, canary: &Arc<Member>) {
        self.change(|plan| plan.canaries.retain(|(_, other)| !Arc::ptr_eq(other, canary)));
        canary.gate.close();
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut plan);
        let sharing =
            plan.share.as_ref().filter(|(_, percent)| *percent > 0).and_then(|(name, percent)| {
                // The newest canary of a name: an older one is about to leave.
                let (_, canary) = plan.canaries.iter().rev().find(|(other, _)| other == name)?;
                Some(Arc::new(Sharing {
                    canary: canary.clone(),
                    percent: u64::from((*percent).min(100)),
                }))
            });
        self.now.store(sharing);
    }

    /// Returns the canary if it is its turn.
    fn turn(&self) -> Option<Arc<Member>> {
        let sharing = self.now.load();
        let Sharing { canary, percent } = sharing.as_deref()?;
        // The calls of the canary are spread evenly over each hundred.
        let call = self.calls.fetch_add(1, Ordering::Relaxed) % 100;
        ((call + 1) * percent / 100 > call * percent / 100).then(|| canary.clone())
    }
}

/// Handler of a target, with its canaries behind it.
struct SplitHandler {
    split: Arc<TrafficSplit>,
    inner: Arc<dyn Handler>,
}

impl SplitHandler {
    /// Passes a call to the canary, unless that has no capacity, is being restarted or leaves. So
    /// no call fails because of a canary that it never reached.
    fn through(
        &self,
        canary: Arc<Member>,
        request: Envelope,
    ) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(async move {
            let Some(_inside) = canary.enter() else { return self.inner.handle(request).await };
            match canary.handler.offer(request) {
                Ok(answer) => answer.await,
                Err(request) => self.inner.handle(*request).await,
            }
        })
    }
}

impl Handler for SplitHandler {
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        match self.split.turn() {
            Some(canary) => self.through(canary, request),
            None => self.inner.handle(request),
        }
    }

    fn offer(
        &self,
        request: Envelope,
    ) -> Result<BoxFuture<'_, Result<Envelope, BusError>>, Box<Envelope>> {
        match self.split.turn() {
            Some(canary) => Ok(self.through(canary, request)),
            None => self.inner.offer(request),
        }
    }
}

/// A body's bus as one instance of a cell uses it. A service on it stands in front of the target's
/// canaries, or is one of them. All else goes the usual route. Clones are the same instance bus.
#[derive(Clone)]
pub struct InstanceBus(Arc<Inner>);

struct Inner {
    bus: Arc<dyn BodyBus>,
    split: Arc<TrafficSplit>,
    name: Text,
    state: Mutex<InstanceState>,
}

struct InstanceState {
    canary: bool,
    served_canary: Option<ServedCanary>,
}

/// A canary that is served.
struct ServedCanary {
    service: Service,
    member: Arc<Member>,
    /// Its serving of calls of its own, once it was promoted.
    there: Option<Box<dyn Serving>>,
}

impl InstanceBus {
    /// Returns an instance bus over this bus. `canary`: the name that the split knows the service
    /// by, if it gets only a share of the calls.
    #[must_use]
    pub fn new(bus: Arc<dyn BodyBus>, split: Arc<TrafficSplit>, canary: Option<Text>) -> Self {
        let state = Mutex::new(InstanceState { canary: canary.is_some(), served_canary: None });
        Self(Arc::new(Inner { bus, split, name: canary.unwrap_or_default(), state }))
    }

    /// Makes a canary a normal instance. Returns when calls of its own reach it; until then it
    /// still gets its share. Does nothing if the instance is no canary.
    ///
    /// # Errors
    /// As [`BodyBus::serve`]; then it still gets its share.
    pub async fn promote(&self) -> Result<(), BusError> {
        let found = {
            let mut state = self.0.state();
            state.canary = false;
            state
                .served_canary
                .as_ref()
                .map(|served| (served.service.clone(), served.member.clone()))
        };
        // An instance that is being restarted is served as a normal instance when it is back.
        let Some((service, member)) = found else { return Ok(()) };
        let there = self.0.bus.serve(self.0.front(service)).await?;
        let left = match &mut self.0.state().served_canary {
            Some(served) if Arc::ptr_eq(&served.member, &member) => {
                served.there = Some(there);
                self.0.split.leave(&member);
                None
            }
            _ => Some(there),
        };
        if let Some(there) = left {
            there.stop().await;
        }
        Ok(())
    }
}

impl Inner {
    fn state(&self) -> std::sync::MutexGuard<'_, InstanceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn front(&self, service: Service) -> Service {
        let handler =
            Arc::new(SplitHandler { split: self.split.clone(), inner: service.handler.clone() });
        Service { handler, ..service }
    }
}

impl BodyBus for InstanceBus {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        self.0.bus.call(request)
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        self.0.bus.publish(event)
    }

    fn serve(&self, service: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        let mut state = self.0.state();
        if !state.canary {
            return self.0.bus.serve(self.0.front(service));
        }
        let member = Member::new(service.handler.clone());
        self.0.split.join(self.0.name.clone(), member.clone());
        state.served_canary = Some(ServedCanary { service, member: member.clone(), there: None });
        let serving: Box<dyn Serving> =
            Box::new(CanaryServing { instance_bus: self.0.clone(), member });
        Box::pin(std::future::ready(Ok(serving)))
    }

    fn subscribe(
        &self,
        wanted: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        self.0.bus.subscribe(wanted)
    }
}

/// Handle of a served canary.
struct CanaryServing {
    instance_bus: Arc<Inner>,
    member: Arc<Member>,
}

impl CanaryServing {
    /// Removes the canary from its split. Returns its serving of calls of its own, if it has any.
    fn leave(&self) -> Option<Box<dyn Serving>> {
        self.instance_bus.split.leave(&self.member);
        let served_canary = &mut self.instance_bus.state().served_canary;
        let mine = served_canary.take_if(|served| Arc::ptr_eq(&served.member, &self.member));
        mine.and_then(|served| served.there)
    }
}

impl Drop for CanaryServing {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

impl Serving for CanaryServing {
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(there) = self.leave() {
                there.stop().await;
            }
            self.member.gate.emptied().await;
        })
    }
}

#[cfg(test)]
#[path = "traffic_split_tests.rs"]
mod tests;
