//! Instances that start and stop one by one, as a fleet wants them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bus::{InstanceBus, Routing, TrafficSplit};
use bus_nats::{Announced, Nats};
use cbs::{CellEnv, Console, Serving, Span, SpanSink, Stats, Target, Text};
use host::{Phase, Restarts, Running, State, Supervisor, Watchdog};
use spec::{CellSpec, FlowSpec};
use tokio::sync::watch;

use super::{
    Hosts,
    cells::{MakeEnv, announce},
    flows::Flow,
    wiring::{CallPolicy, Wiring},
};
use crate::{health::BodyStatus, metrics::Registration};

/// What can be started.
#[derive(Clone, Debug)]
pub(crate) enum Deployed {
    Cell(Arc<CellSpec>),
    Flow(Arc<FlowSpec>),
}

/// A body without specs of its own: what is started is told one by one. Several instances of
/// one cell may serve side by side.
pub(crate) struct Instances {
    supervisor: Supervisor,
    env: MakeEnv,
    wiring: Wiring,
    runtimes: BTreeSet<&'static str>,
    /// What stands between a cell and its canary, as long as an instance of the cell is here.
    splits: Mutex<BTreeMap<Target, Weak<TrafficSplit>>>,
    _watchdog: Option<Watchdog>,
}

/// Calls are timed where somebody records them, and canaries are judged by their times: this one
/// stands in where there is nobody.
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

/// One instance that serves. Dropped, it ends at once; [`Self::stop`] loses nothing.
pub(crate) struct Instance {
    life: Life,
    /// Keeps the cell in the answers to discovery also while it is restarted.
    announced: Option<Announced>,
    /// Counts a cell; a flow is counted as long as it serves.
    _listed: Option<Registration>,
}

enum Life {
    Cell(Box<Cell>),
    Flow(Box<dyn Serving>),
}

struct Cell {
    running: Running,
    /// Where it stands: a canary behind others, or as any other.
    instance_bus: InstanceBus,
    state: watch::Receiver<State>,
    /// Whether calls reached it when this was last told.
    ready: bool,
}

/// What an instance that was ready goes through.
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
        route: Routing,
        console: Arc<dyn Console>,
        nats: Nats,
        span_sink: Option<Arc<dyn SpanSink>>,
    ) -> Self {
        let body = status.body.clone();
        let wiring = Wiring::new(status, route, Some(nats), None, span_sink.clone());
        wiring.events.body("joined");
        let (bus, reply_max) = (wiring.bus.clone(), wiring.reply_max());
        let span_sink = Some(span_sink.unwrap_or_else(|| Arc::new(Nobody)));
        let env = Arc::new(move |target: Target| {
            let env = CellEnv::new(target, body.clone(), bus.clone(), console.clone());
            env.with_span_sink(span_sink.clone()).with_reply_max(reply_max)
        });
        let supervisor = Supervisor::new(hosts.all().to_vec(), Restarts::default());
        let runtimes = hosts.all().iter().map(|host| host.runtime()).collect();
        // Without it a cell that blocks is not named; that is no reason not to run.
        let watchdog = Watchdog::start().inspect_err(|error| tracing::warn!(%error, "no watchdog")).ok();
        Self { supervisor, env, wiring, runtimes, splits: Mutex::default(), _watchdog: watchdog }
    }

    /// The runtimes whose cells it can start.
    pub(crate) fn runtimes(&self) -> impl Iterator<Item = &'static str> {
        self.runtimes.iter().copied()
    }

    /// Whether it could be started here.
    ///
    /// # Errors
    /// What is wrong, and how to mend it.
    pub(crate) fn check(&self, deployed: &Deployed) -> Result<(), String> {
        match deployed {
            Deployed::Cell(spec) => self.supervisor.check(spec).map_err(|error| error.to_string()),
            Deployed::Flow(_) => Ok(()),
        }
    }

    /// Starts an instance; done when calls reach it. Dropped before, nothing of it is left. A
    /// canary, by this name, gets the calls that [`Self::share`] gives it and no others.
    ///
    /// # Errors
    /// Why it did not start: it is not tried again here.
    pub(crate) async fn start(&self, deployed: Deployed, canary: Option<Text>) -> Result<Instance, String> {
        match deployed {
            Deployed::Cell(spec) => {
                let target: Target = spec.name.clone().into();
                let mut env = (self.env)(target.clone());
                let is_canary = canary.is_some();
                let instance_bus = InstanceBus::new(env.bus.clone(), self.split(&target), canary);
                env.bus = Arc::new(instance_bus.clone());
                let running = self.supervisor.start(spec, env).map_err(|error| error.to_string())?;
                let listed = self.wiring.status.registry().list(running.service());
                let mut state = running.state();
                until(&mut state, |phase| phase != Phase::Starting).await;
                let now = state.borrow_and_update().clone();
                if now.phase != Phase::Ready {
                    return Err(reason(&now));
                }
                self.wiring.events.follow(&running);
                // Nobody is to find a canary: calls find it.
                let announced = if is_canary { None } else { announce(self.wiring.nats.as_ref(), &running).await };
                let cell = Cell { running, instance_bus, state, ready: true };
                Ok(Instance { life: Life::Cell(Box::new(cell)), announced, _listed: Some(listed) })
            }
            Deployed::Flow(spec) => {
                let serving = Flow::serve(&self.env, self.wiring.status.registry(), None, spec).await.serving?;
                Ok(Instance { life: Life::Flow(serving), announced: None, _listed: None })
            }
        }
    }

    fn split(&self, target: &Target) -> Arc<TrafficSplit> {
        let mut splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(split) = splits.get(target).and_then(Weak::upgrade) {
            return split;
        }
        // Those of cells that have gone: now and then, for thousands may come at once.
        if splits.len().is_power_of_two() {
            splits.retain(|_, split| split.strong_count() > 0);
        }
        let split = Arc::new(TrafficSplit::default());
        splits.insert(target.clone(), Arc::downgrade(&split));
        split
    }

    /// Gives the canary of this name so many percent of the calls that reach the target here, or
    /// nobody any.
    pub(crate) fn share(&self, target: &Target, share: Option<(Text, u8)>) {
        let splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(split) = splits.get(target).and_then(Weak::upgrade) {
            split.share(share);
        }
    }

    /// Makes a canary what any other instance is; done when calls of its own reach it.
    ///
    /// # Errors
    /// Why not: it is to be stopped.
    pub(crate) async fn promote(&self, instance: &mut Instance) -> Result<(), String> {
        let Life::Cell(cell) = &mut instance.life else { return Ok(()) };
        cell.instance_bus.promote().await.map_err(|error| format!("it cannot be served: {error}"))?;
        // It may just be started again; then it serves when it is back.
        until(&mut cell.state, |phase| matches!(phase, Phase::Ready | Phase::Failed | Phase::Stopped)).await;
        let now = cell.state.borrow_and_update().clone();
        if now.phase != Phase::Ready {
            return Err(reason(&now));
        }
        cell.ready = true;
        instance.announced = announce(self.wiring.nats.as_ref(), &cell.running).await;
        Ok(())
    }

    /// Tells what became of a cell or flow, as an event of this body.
    pub(crate) fn report(&self, target: &Target, revision: &str, state: &str, reason: Option<&str>) {
        self.wiring.events.of(target, revision, state, reason);
    }

    /// Calls follow these manners from now on; these targets are known.
    pub(crate) fn know(&self, known: Vec<Target>, call_policy: Vec<(Target, CallPolicy)>) {
        self.wiring.know(known, call_policy);
    }

    /// Tells that this body hands over what it runs.
    pub(crate) fn draining(&self) {
        self.wiring.draining();
    }

    /// Leaves the bus.
    pub(crate) async fn close(&self) {
        self.wiring.close().await;
    }
}

impl Instance {
    /// What becomes of it next; never for flows. Cancel-safe.
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

    /// What it counts; `None` for flows.
    pub(crate) fn stats(&self) -> Option<Arc<Stats>> {
        match &self.life {
            Life::Cell(cell) => Some(cell.running.handler().stats().clone()),
            Life::Flow(_) => None,
        }
    }

    /// Takes no new calls, finishes those it has, and ends.
    pub(crate) async fn stop(self) {
        drop(self.announced);
        match self.life {
            Life::Cell(cell) => cell.running.stop().await,
            Life::Flow(serving) => serving.stop().await,
        }
    }
}

/// A driver that has gone says nothing more: the state as it is tells.
async fn until(state: &mut watch::Receiver<State>, settled: impl Fn(Phase) -> bool) {
    _ = state.wait_for(|state| settled(state.phase)).await;
}

fn reason(state: &State) -> String {
    state.reason.clone().unwrap_or_else(|| format!("it is {}", state.phase))
}
