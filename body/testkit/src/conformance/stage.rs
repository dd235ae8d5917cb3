//! What a case plays on.

use std::{any::Any, sync::Arc};

use cbs::{BodyBus, BoxFuture, Transport};
use tokio::sync::Mutex;

use crate::NatsServer;

/// How many stops under load a stage makes unless told otherwise.
const STOPS_DEFAULT: usize = 20;

type Switch = Box<dyn FnMut() -> BoxFuture<'static, ()> + Send>;

/// The buses of a case: one that calls and publishes, and those that serve and listen.
///
/// Built by steps; what is not said has a default:
///
/// ```no_run
/// # async fn example(caller: std::sync::Arc<dyn cbs::BodyBus>, callee: std::sync::Arc<dyn cbs::BodyBus>) {
/// use testkit::{NatsServer, conformance::Stage};
/// let server = NatsServer::start().await;
/// let stage = Stage::new(caller, callee).via(cbs::Transport::Nats).nats(server).stops(200);
/// # }
/// ```
pub struct Stage {
    pub(super) caller: Arc<dyn BodyBus>,
    pub(super) servers: Vec<Arc<dyn BodyBus>>,
    pub(super) via: Option<Transport>,
    pub(super) payload_max: usize,
    pub(super) call_queue: Option<usize>,
    pub(super) event_queue: usize,
    pub(super) stops: usize,
    pub(super) outage: Option<(Switch, Switch)>,
    /// Last, so that servers and connections outlive the buses.
    _kept: Vec<Box<dyn Any + Send>>,
}

impl Stage {
    /// A stage of a caller and a callee; both may be the same bus.
    pub fn new(caller: Arc<dyn BodyBus>, callee: Arc<dyn BodyBus>) -> Self {
        Self {
            caller,
            servers: vec![callee],
            via: None,
            payload_max: bus_nats::server::MAX_PAYLOAD_DEFAULT,
            call_queue: None,
            event_queue: 1024,
            stops: STOPS_DEFAULT,
            outage: None,
            _kept: Vec::new(),
        }
    }

    /// One more bus that may serve the same target, for the cases of several that share calls.
    #[must_use]
    pub fn server(mut self, bus: Arc<dyn BodyBus>) -> Self {
        self.servers.push(bus);
        self
    }

    /// What the caller must be told about the distance of its calls' replies. Default: not looked at.
    #[must_use]
    pub fn via(mut self, via: Transport) -> Self {
        self.via = Some(via);
        self
    }

    /// The largest message that the bus takes, in bytes. Default: a NATS server's, 1 MiB.
    #[must_use]
    pub fn payload_max(mut self, bytes: usize) -> Self {
        self.payload_max = bytes;
        self
    }

    /// How many calls of one target the bus itself holds at most, running or waiting. Default: no bound of its own.
    #[must_use]
    pub fn call_queue(mut self, calls: usize) -> Self {
        self.call_queue = Some(calls);
        self
    }

    /// How many events a subscription holds that does not read. Default: 1024.
    #[must_use]
    pub fn event_queue(mut self, events: usize) -> Self {
        self.event_queue = events;
        self
    }

    /// How often a target is stopped under load. Default: 20.
    #[must_use]
    pub fn stops(mut self, times: usize) -> Self {
        self.stops = times;
        self
    }

    /// How the bus goes down, and how what it needs comes back; it must then go up by itself.
    #[must_use]
    pub fn outage<D, U>(
        mut self,
        mut down: impl FnMut() -> D + Send + 'static,
        mut up: impl FnMut() -> U + Send + 'static,
    ) -> Self
    where
        D: Future<Output = ()> + Send + 'static,
        U: Future<Output = ()> + Send + 'static,
    {
        self.outage = Some((Box::new(move || Box::pin(down())), Box::new(move || Box::pin(up()))));
        self
    }

    /// The server between the buses: lives as long as the stage, and is killed and restarted for outages.
    #[must_use]
    pub fn nats(self, server: NatsServer) -> Self {
        let killed = Arc::new(Mutex::new(server));
        let restarted = killed.clone();
        self.outage(
            move || {
                let server = killed.clone();
                async move { server.lock().await.kill().await }
            },
            move || {
                let server = restarted.clone();
                async move { server.lock().await.restart().await }
            },
        )
    }

    /// Keeps something alive as long as the stage.
    #[must_use]
    pub fn keep(mut self, what: impl Any + Send) -> Self {
        self._kept.push(Box::new(what));
        self
    }

    pub(super) fn callee(&self) -> Arc<dyn BodyBus> {
        self.servers.first().cloned().expect("a stage has a callee")
    }

    /// Two that may serve one target: two buses, or one bus twice.
    pub(super) fn pair(&self) -> [Arc<dyn BodyBus>; 2] {
        let first = self.callee();
        let second = self.servers.get(1).cloned().unwrap_or_else(|| first.clone());
        [first, second]
    }
}
