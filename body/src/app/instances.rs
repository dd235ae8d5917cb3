//! Instances that start and stop one by one, as a fleet requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bus::{InstanceBus, TrafficSplit};
use bus_nats::{Announced, Nats};
use cbs::{CellEnv, Console, Serving, Span, SpanSink, Stats, Target, Text};
use host::{Restarts, Running, State, Supervisor, Watchdog};
use model::{CallPolicy, CellSpec, Phase, Route};
use spec::FlowSpec;
use tokio::sync::watch;

use super::{
    Hosts,
    cells::{MakeEnv, announce},
    flows::Flow,
    wiring::Wiring,
};
use crate::{health::BodyStatus, metrics::Registration};

/// Kind of work that can be started, with its spec.
#[derive(Clone, Debug)]
pub(crate) enum Deployed {
    Cell(Arc<CellSpec>),
    Flow(Arc<FlowSpec>),
}

/// Body without specs of its own: instances are started on request, one by one. Several instances
/// of one cell may serve side by side.
pub(crate) struct Instances {
    supervisor: Supervisor,
    env: MakeEnv,
    wiring: Wiring,
    runtimes: BTreeSet<&'static str>,
    /// Splits of calls between a cell and its canary, kept while an instance of the cell is here.
    splits: Mutex<BTreeMap<Target, Weak<TrafficSplit>>>,
    _watchdog: Option<Watchdog>,
}

/// Span sink that records nothing. It is used if there is no other, because calls are timed only
/// with a span sink and canaries are judged by their times.
struct Nobody;

impl SpanSink for Nobody {
    fn samples(&self, _: [u8; 16]) -> bool {
        false
    }

    fn slow(&self) -> Duration {
        Duration::MAX
    }

    fn record(&self, _: Span) {}
}

/// Instance that serves. Dropping it ends it at once; [`Self::stop`] loses no calls.
pub(crate) struct Instance {
    life: Life,
    /// Keeps the cell in the answers to discovery, also while it is restarted.
    announced: Option<Announced>,
    /// Registers a cell in the metrics; a flow is counted by its service.
    _listed: Option<Registration>,
}

enum Life {
    Cell(Box<Cell>),
    Flow(Box<dyn Serving>),
}

struct Cell {
    running: Running,
    /// Instance bus: the cell is a canary behind other instances, or an instance like any other.
    instance_bus: InstanceBus,
    state: watch::Receiver<State>,
    /// True if calls reached the cell at the last report.
    ready: bool,
}

/// Kind of change of an instance that was ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LifecycleEvent {
    /// It ended by itself and is started again; no calls reach it.
    Restarting,
    /// Calls reach it again.
    Recovered,
    /// It failed too often, for this reason.
    Failed(String),
}

impl Instances {
    pub(crate) fn new(
        hosts: &Hosts,
        status: Arc<BodyStatus>,
        route: Route,
        console: Arc<dyn Console>,
        nats: Nats,
        span_sink: Option<Arc<dyn SpanSink>>,
    ) -> Self {
        let body = status.body.clone();
        let wiring = Wiring::new(status, route, Some(nats), None, span_sink.clone());
        wiring.events.body("joined");
        let bus = wiring.bus.clone();
        let reply_max = wiring.reply_max();
        let span_sink = Some(span_sink.unwrap_or_else(|| Arc::new(Nobody)));
        let env = Arc::new(move |target: Target| {
            let env = CellEnv::new(target, body.clone(), bus.clone(), console.clone());
            env.with_span_sink(span_sink.clone()).with_reply_max(reply_max)
        });
        let supervisor = Supervisor::new(hosts.all().to_vec(), Restarts::default());
        let runtimes = hosts.all().iter().map(|host| host.runtime()).collect();
        // Without the watchdog a blocking cell is not named in the log; the body runs all the same.
        let watchdog =
            Watchdog::start().inspect_err(|error| tracing::warn!(%error, "no watchdog")).ok();
        Self { supervisor, env, wiring, runtimes, splits: Mutex::default(), _watchdog: watchdog }
    }

    /// Returns the runtimes whose cells can be started here.
    pub(crate) fn runtimes(&self) -> impl Iterator<Item = &'static str> {
        self.runtimes.iter().copied()
    }

    /// Checks if it could be started here.
    ///
    /// # Errors
    /// The problem, and the way to repair it.
    pub(crate) fn check(&self, deployed: &Deployed) -> Result<(), String> {
        match deployed {
            Deployed::Cell(spec) => self.supervisor.check(spec).map_err(|error| error.to_string()),
            Deployed::Flow(_) => Ok(()),
        }
    }

    /// Starts an instance. Returns when calls reach it. If the call is dropped before that, nothing
    /// of the instance is left. A canary with this name gets the calls that [`Self::share`] gives
    /// it and no others.
    ///
    /// # Errors
    /// The reason why it did not start. It is not tried again here.
    pub(crate) async fn start(
        &self,
        deployed: Deployed,
        canary: Option<Text>,
    ) -> Result<Instance, String> {
        match deployed {
            Deployed::Cell(spec) => {
                let target: Target = spec.name.clone().into();
                let mut env = (self.env)(target.clone());
                let is_canary = canary.is_some();
                let instance_bus = InstanceBus::new(env.bus.clone(), self.split(&target), canary);
                env.bus = Arc::new(instance_bus.clone());
                let running =
                    self.supervisor.start(spec, env).map_err(|error| error.to_string())?;
                let listed = self.wiring.status.registry().list(running.service());
                let mut state = running.state();
                until(&mut state, |phase| phase != Phase::Starting).await;
                let now = state.borrow_and_update().clone();
                if now.phase != Phase::Ready {
                    return Err(reason(&now));
                }
                self.wiring.events.follow(&running);
                // A canary is not announced: it only gets its share of calls.
                let announced = if is_canary {
                    None
                } else {
                    announce(self.wiring.nats.as_ref(), &running).await
                };
                let cell = Cell { running, instance_bus, state, ready: true };
                Ok(Instance { life: Life::Cell(Box::new(cell)), announced, _listed: Some(listed) })
            }
            Deployed::Flow(spec) => {
                let serving = Flow::serve(&self.env, self.wiring.status.registry(), None, spec)
                    .await
                    .serving?;
                Ok(Instance { life: Life::Flow(serving), announced: None, _listed: None })
            }
        }
    }

    fn split(&self, target: &Target) -> Arc<TrafficSplit> {
        let mut splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(split) = splits.get(target).and_then(Weak::upgrade) {
            return split;
        }
        // Splits of stopped cells are removed now and then, because thousands of cells may come at
        // once.
        if splits.len().is_power_of_two() {
            splits.retain(|_, split| split.strong_count() > 0);
        }
        let split = Arc::new(TrafficSplit::default());
        splits.insert(target.clone(), Arc::downgrade(&split));
        split
    }

    /// Gives the canary of this name so many percent of the calls that reach the target here.
    /// `None` ends all canary calls.
    pub(crate) fn share(&self, target: &Target, share: Option<(Text, u8)>) {
        let splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(split) = splits.get(target).and_then(Weak::upgrade) {
            split.share(share);
        }
    }

    /// Makes a canary an instance like any other. Returns when calls of its own reach it.
    ///
    /// # Errors
    /// The reason why it cannot serve. The instance must then be stopped.
    pub(crate) async fn promote(&self, instance: &mut Instance) -> Result<(), String> {
        let Life::Cell(cell) = &mut instance.life else { return Ok(()) };
        cell.instance_bus
            .promote()
            .await
            .map_err(|error| format!("it cannot be served: {error}"))?;
        // The canary may be restarting; then it serves when it is ready again.
        until(&mut cell.state, |phase| {
            matches!(phase, Phase::Ready | Phase::Failed | Phase::Stopped)
        })
        .await;
        let now = cell.state.borrow_and_update().clone();
        if now.phase != Phase::Ready {
            return Err(reason(&now));
        }
        cell.ready = true;
        instance.announced = announce(self.wiring.nats.as_ref(), &cell.running).await;
        Ok(())
    }

    /// Reports a state of a cell or flow, as an event of this body.
    pub(crate) fn report(
        &self,
        target: &Target,
        revision: &str,
        state: &str,
        reason: Option<&str>,
    ) {
        self.wiring.events.of(target, revision, state, reason);
    }

    /// Sets the targets that are known and the call policies from now on.
    pub(crate) fn declare(&self, known: Vec<Target>, call_policy: &[(Target, CallPolicy)]) {
        self.wiring.declare(known, call_policy);
    }

    /// Reports that this body hands over its work.
    pub(crate) fn draining(&self) {
        self.wiring.draining();
    }

    /// Leaves the bus.
    pub(crate) async fn close(&self) {
        self.wiring.close().await;
    }
}

impl Instance {
    /// Waits for the next change of the instance. Never returns for flows. Cancel-safe.
    pub(crate) async fn turn(&mut self) -> LifecycleEvent {
        let Life::Cell(cell) = &mut self.life else { return std::future::pending().await };
        loop {
            let now = cell.state.borrow_and_update().clone();
            match now.phase {
                Phase::Failed | Phase::Stopped => return LifecycleEvent::Failed(reason(&now)),
                Phase::Ready if !cell.ready => {
                    cell.ready = true;
                    return LifecycleEvent::Recovered;
                }
                Phase::Restarting if cell.ready => {
                    cell.ready = false;
                    return LifecycleEvent::Restarting;
                }
                _ => {}
            }
            if cell.state.changed().await.is_err() {
                return LifecycleEvent::Failed(reason(&cell.state.borrow()));
            }
        }
    }

    /// Returns the counters of a cell; `None` for flows.
    pub(crate) fn stats(&self) -> Option<Arc<Stats>> {
        match &self.life {
            Life::Cell(cell) => Some(cell.running.handler().stats().clone()),
            Life::Flow(_) => None,
        }
    }

    /// Takes no new calls, finishes those in progress, and ends.
    pub(crate) async fn stop(self) {
        drop(self.announced);
        match self.life {
            Life::Cell(cell) => cell.running.stop().await,
            Life::Flow(serving) => serving.stop().await,
        }
    }
}

/// Waits until the phase is `settled`. If the supervisor's task has ended, returns at once: the
/// state stays as it is.
async fn until(state: &mut watch::Receiver<State>, settled: impl Fn(Phase) -> bool) {
    _ = state.wait_for(|state| settled(state.phase)).await;
}

fn reason(state: &State) -> String {
    state.reason.clone().unwrap_or_else(|| format!("it is {}", state.phase))
}
