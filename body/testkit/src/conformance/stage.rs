//! Stage of a case: the buses that it uses.

use std::{any::Any, sync::Arc};

use cbs::{BodyBus, BoxFuture, Transport};
use tokio::sync::Mutex;

use crate::NatsServer;

/// Default number of stops under load.
const STOPS_DEFAULT: usize = 20;

type Switch = Box<dyn FnMut() -> BoxFuture<'static, ()> + Send>;

/// The buses of a case: one that calls and publishes, and those that serve and subscribe.
///
/// Built in steps. Each setting has a default:
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
    /// Last, so that servers and connections are dropped after the buses.
    _kept: Vec<Box<dyn Any + Send>>,
}

impl Stage {
    /// Returns a stage of a caller and a callee; both may be the same bus.
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

    /// Adds a bus that may serve the same target, for the cases where several share calls.
    #[must_use]
    pub fn server(mut self, bus: Arc<dyn BodyBus>) -> Self {
        self.servers.push(bus);
        self
    }

    /// Sets the distance that replies to the caller must have. Default: not checked.
    #[must_use]
    pub fn via(mut self, via: Transport) -> Self {
        self.via = Some(via);
        self
    }

    /// Sets the size of the largest message that the bus takes, in bytes. Default: a NATS server's,
    /// 1 MiB.
    #[must_use]
    pub fn payload_max(mut self, bytes: usize) -> Self {
        self.payload_max = bytes;
        self
    }

    /// Sets the number of calls of one target that the bus itself holds at most, running or
    /// waiting. Default: no limit of its own.
    #[must_use]
    pub fn call_queue(mut self, calls: usize) -> Self {
        self.call_queue = Some(calls);
        self
    }

    /// Sets the number of events that a subscription holds while it is not read. Default: 1024.
    #[must_use]
    pub fn event_queue(mut self, events: usize) -> Self {
        self.event_queue = events;
        self
    }

    /// Sets how often a target is stopped under load. Default: 20.
    #[must_use]
    pub fn stops(mut self, times: usize) -> Self {
        self.stops = times;
        self
    }

    /// Sets the functions of an outage: one takes the bus down, one brings back what it needs. The
    /// bus must then come up by itself.
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

    /// Sets the server between the buses. It runs as long as the stage, and is killed and restarted
    /// for outages.
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

    /// Keeps a value as long as the stage.
    #[must_use]
    pub fn keep(mut self, what: impl Any + Send) -> Self {
        self._kept.push(Box::new(what));
        self
    }

    pub(super) fn callee(&self) -> Arc<dyn BodyBus> {
        self.servers.first().cloned().expect("a stage has a callee")
    }

    /// Returns two buses that may serve one target: two, or one bus twice.
    pub(super) fn pair(&self) -> [Arc<dyn BodyBus>; 2] {
        let first = self.callee();
        let second = self.servers.get(1).cloned().unwrap_or_else(|| first.clone());
        [first, second]
    }
}
