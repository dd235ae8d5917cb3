//! Routing of calls: this body first, otherwise over NATS.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use cbs::{
    BodyBus, BoxFuture, BusError, Code, Envelope, EventStream, Outcome, Service, Serving,
    Subscription, Target,
};
use futures::future;
use model::Route;
use tokio::time::Instant;

use crate::{
    InProcess,
    in_process::{IfFull, Untaken, callable},
    registered::Registered,
    registry::Members,
};

/// A body's link to the others: two buses, because a call that found no capacity here must not come
/// back here.
#[derive(Clone)]
pub struct Link {
    /// Calls, serves, publishes and subscribes over NATS.
    pub bus: Arc<dyn BodyBus>,
    /// Calls targets that other bodies serve, never those of this body: it sends on the connection
    /// that serves, which has no echo.
    pub other_bodies: Arc<dyn BodyBus>,
}

/// A body's bus: its own cells first, the network for all others.
///
/// A call to a target that is hosted here and has capacity is handled here and never uses the
/// network. A call that finds no capacity goes to the other bodies that serve the target. If there
/// are none, or they have no capacity either, it waits here.
///
/// Events go over NATS if there is NATS, so that every subscription of a group sees the same bus.
pub struct Router {
    local: Arc<InProcess>,
    link: Option<Link>,
    routes: ArcSwap<Routes>,
    declared: ArcSwap<HashSet<Target>>,
}

#[derive(Clone, Default)]
struct Routes {
    body: Route,
    targets: HashMap<Target, Route>,
}

impl Router {
    /// Returns a router over the targets that are hosted here and, if given, a link to NATS. Routes
    /// are local-first until they are changed.
    pub fn new(local: Arc<InProcess>, nats: Option<Link>) -> Self {
        Self { local, link: nats, routes: ArcSwap::default(), declared: ArcSwap::default() }
    }

    /// Sets the route of all targets that have none of their own.
    pub fn set_route(&self, route: Route) {
        self.routes.rcu(|routes| Routes { body: route, ..Routes::clone(routes) });
    }

    /// Sets the routes of all targets at once. A target with `None`, or one that is not given, has
    /// the body's route.
    pub fn set_routes(&self, routes: impl IntoIterator<Item = (Target, Option<Route>)>) {
        let wanted = routes.into_iter().filter_map(|(target, route)| Some((target, route?)));
        let targets: HashMap<Target, Route> = wanted.collect();
        self.routes.rcu(|current| Routes { body: current.body, targets: targets.clone() });
    }

    /// Sets the targets that are known to exist, from specs or presence. If no body serves one now,
    /// calls fail with `unavailable` instead of `not-found`.
    pub fn set_declared(&self, targets: impl IntoIterator<Item = Target>) {
        self.declared.store(Arc::new(targets.into_iter().collect()));
    }

    /// Returns the bus of the targets that are hosted in this body.
    #[must_use]
    pub fn local(&self) -> &Arc<InProcess> {
        &self.local
    }

    fn route(&self, target: &Target) -> Route {
        let routes = self.routes.load();
        if routes.targets.is_empty() {
            routes.body
        } else {
            routes.targets.get(target).copied().unwrap_or(routes.body)
        }
    }

    /// Makes a call that no member here took.
    async fn call_untaken(
        &self,
        untaken: Untaken,
        members: &Members,
    ) -> Result<Envelope, BusError> {
        match &self.link {
            Some(link) if untaken.full => self.overflow(link, *untaken.request, members).await,
            // All members that served it here are stopping: other bodies take it now.
            Some(link) => link.bus.call(*untaken.request).await,
            None => Err(self.nobody(BusError::not_found(&members.target), &members.target)),
        }
    }

    /// Makes a call that found no capacity here: other bodies may have some. Otherwise it waits
    /// here.
    async fn overflow(
        &self,
        link: &Link,
        mut request: Envelope,
        members: &Members,
    ) -> Result<Envelope, BusError> {
        let began = Instant::now();
        let refused = match link.other_bodies.call(request.clone()).await {
            Err(error) if error.outcome() == Outcome::NotRun && has_no_room(error.code()) => error,
            done => return done,
        };
        request.timeout = request.timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
        match self.local.hand(members, request, IfFull::Wait) {
            Ok(taken) => taken.await,
            // All members that served it here have begun to stop.
            Err(_) => Err(refused),
        }
    }

    async fn call_there(&self, link: &Link, request: Envelope) -> Result<Envelope, BusError> {
        let target = request.target.clone();
        match (link.bus.call(request).await, target) {
            (Err(error), Some(target)) => Err(self.nobody(error, &target)),
            (done, _) => done,
        }
    }

    /// Returns the error if nobody serves the target: it depends on whether the target is known.
    fn nobody(&self, error: BusError, target: &Target) -> BusError {
        let absent = *error.code() == Code::NotFound && error.outcome() == Outcome::NotRun;
        if absent && self.declared.load().contains(target) {
            return BusError::unavailable(target, "it is declared, but no body serves it now");
        }
        error
    }
}

/// True if other bodies could not take a call: there are none, or their queues are full.
fn has_no_room(code: &Code) -> bool {
    matches!(code, Code::NotFound | Code::Unavailable | Code::Overloaded)
}

impl BodyBus for Router {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        let target = match request.target() {
            Ok(target) => target,
            Err(error) => return Box::pin(future::ready(Err(error))),
        };
        if let Err(error) = callable(target).and_then(|()| self.local.check(&request, target)) {
            return Box::pin(future::ready(Err(error)));
        }
        let here = match (&self.link, self.route(target)) {
            (Some(_), Route::Nats) => None,
            _ => self.local.find(target),
        };
        match (here, &self.link) {
            (Some(members), link) => {
                let if_full = if link.is_some() { IfFull::GiveBack } else { IfFull::Wait };
                Box::pin(async move {
                    match self.local.hand(&members, request, if_full) {
                        Ok(taken) => taken.await,
                        // On the heap, so that calls that never need it do not keep memory for it.
                        Err(untaken) => Box::pin(self.call_untaken(untaken, &members)).await,
                    }
                })
            }
            (None, Some(link)) if self.declared.load().is_empty() => link.bus.call(request),
            (None, Some(link)) => Box::pin(self.call_there(link, request)),
            (None, None) => {
                Box::pin(future::ready(Err(self.nobody(BusError::not_found(target), target))))
            }
        }
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        match &self.link {
            Some(link) => link.bus.publish(event),
            None => self.local.publish(event),
        }
    }

    fn serve(&self, service: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        Box::pin(async move {
            let Some(link) = &self.link else { return self.local.serve(service).await };
            callable(&service.target)?;
            self.local.check_open(&service.target)?;
            // NATS first: it may fail, and then nothing has to be undone here.
            let there = link.bus.serve(service.clone()).await?;
            let serving: Box<dyn Serving> =
                Box::new(Both { here: self.local.register(service), there });
            Ok(serving)
        })
    }

    fn subscribe(
        &self,
        wanted: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        match &self.link {
            Some(link) => link.bus.subscribe(wanted),
            None => self.local.subscribe(wanted),
        }
    }
}

/// A target that is served here and on NATS.
struct Both {
    here: Registered,
    there: Box<dyn Serving>,
}

impl Serving for Both {
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Self { here, there } = *self;
            // The body's own calls go to other bodies first. Then NATS is drained. Calls that began
            // here meanwhile end last.
            here.withdraw();
            there.stop().await;
            here.drained().await;
        })
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
