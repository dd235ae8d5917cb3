//! A body's bus. Its layers from outside to inside: retries, the recorder of attempts, the router,
//! and the body's own cells and NATS.

use std::sync::Arc;

use bus::{InProcess, Link, RetryingBus, Router, Settings};
use bus_nats::Nats;
use cbs::{BodyBus, SpanSink, Target};
use model::{CallPolicy, Route};
use spec::Specs;

use super::{
    calls::{CallTap, TappedBus},
    events::Events,
    traced::TracedBus,
};
use crate::health::BodyStatus;

/// Parts of the bus that remain when the specs change.
pub(super) struct Wiring {
    /// Bus that cells, flows and this body use to call, serve and publish.
    pub(super) bus: Arc<dyn BodyBus>,
    retry: Arc<RetryingBus>,
    pub(super) nats: Option<Nats>,
    /// Events of this body.
    pub(super) events: Arc<Events>,
    local: Arc<InProcess>,
    router: Arc<Router>,
    /// Status of this body.
    pub(super) status: Arc<BodyStatus>,
}

impl Wiring {
    /// Connects the layers. A call tap receives a record of every call that this body answers or
    /// sends away; a span sink receives every attempt of a sampled call that it makes.
    pub(super) fn new(
        status: Arc<BodyStatus>,
        route: Route,
        nats: Option<Nats>,
        call_tap: Option<CallTap>,
        span_sink: Option<Arc<dyn SpanSink>>,
    ) -> Self {
        let body = &status.body;
        let mut settings = Settings { body: body.as_str().into(), ..Settings::default() };
        if let Some(nats) = &nats {
            settings.payload_max = nats.server().max_payload;
        }
        let local = InProcess::new(settings);
        let link =
            nats.as_ref().map(|nats| Link { bus: nats.bus(), other_bodies: nats.other_bodies() });
        let router = Arc::new(Router::new(local.clone(), link));
        router.set_route(route);
        let attempts: Arc<dyn BodyBus> = match span_sink {
            Some(span_sink) => Arc::new(TracedBus { inner: router.clone(), span_sink }),
            None => router.clone(),
        };
        let retry = Arc::new(RetryingBus::new(attempts));
        let bus: Arc<dyn BodyBus> = match call_tap {
            Some(call_tap) => {
                let (inner, local, body) = (retry.clone(), local.clone(), body.as_str().into());
                Arc::new(TappedBus { inner, local, body, call_tap })
            }
            None => retry.clone(),
        };
        let events = Arc::new(Events::new(bus.clone(), body.clone()));
        status.wired(nats.as_ref(), &retry);
        Self { bus, retry, nats, events, local, router, status }
    }

    /// Returns the limit of the bytes of a reply.
    pub(super) fn reply_max(&self) -> usize {
        self.local.payload_max()
    }

    /// Reports that the body takes no new work.
    pub(super) fn draining(&self) {
        self.status.draining();
        self.events.body("draining");
    }

    /// Takes routes, retries and known targets from these specs from now on.
    pub(super) fn adopt(&self, specs: &Specs) {
        let cells = || specs.cells().map(|spec| (Target::from(spec.name.clone()), spec));
        let flows = specs.flows().map(|spec| Target::from(spec.name.clone()));
        let declared: Vec<Target> = cells().map(|(target, _)| target).chain(flows).collect();
        let call_policy: Vec<_> =
            cells().map(|(target, spec)| (target, spec.policy.clone())).collect();
        self.declare(declared, &call_policy);
    }

    /// Sets the known targets and the call policies from now on. Targets without a policy, also
    /// those that had one before, use the settings of the body.
    pub(super) fn declare(&self, declared: Vec<Target>, call_policy: &[(Target, CallPolicy)]) {
        self.router.set_routes(
            call_policy.iter().map(|(target, call_policy)| (target.clone(), call_policy.route)),
        );
        self.retry
            .set_all(call_policy.iter().map(|(target, call_policy)| (target.clone(), call_policy)));
        if let Some(nats) = &self.nats {
            nats.declare(declared.clone());
        }
        self.router.set_declared(declared);
    }

    /// Leaves the bus.
    pub(super) async fn close(&self) {
        self.events.leave().await;
        self.local.close();
        if let Some(nats) = &self.nats {
            nats.close().await;
        }
    }
}
