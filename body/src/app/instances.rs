//! Instances that start and stop one by one, as a fleet wants them.

use std::{collections::BTreeSet, sync::Arc};

use bus::Route;
use bus_nats::{Announced, Nats};
use cbs::{BodyId, Console, Home, Recorder, Serving, Target};
use host::{Phase, Restarts, Running, State, Supervisor, Watchdog};
use spec::{CellSpec, FlowSpec};
use tokio::sync::watch;

use super::{
    Hosts,
    cells::{MakeHome, announce},
    flows::Flow,
    wiring::{Manners, Wiring},
};

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
    home: MakeHome,
    wiring: Wiring,
    runtimes: BTreeSet<&'static str>,
    _watchdog: Option<Watchdog>,
}

/// One instance that serves. Dropped, it ends at once; [`Self::stop`] loses nothing.
pub(crate) struct Instance {
    life: Life,
    /// Keeps the cell in the answers to discovery also while it is restarted.
    announced: Option<Announced>,
}

enum Life {
    Cell(Running),
    Flow(Box<dyn Serving>),
}

impl Instances {
    pub(crate) fn new(
        hosts: &Hosts,
        body: BodyId,
        route: Route,
        console: Arc<dyn Console>,
        nats: Nats,
        recorder: Option<Arc<dyn Recorder>>,
    ) -> Self {
        let wiring = Wiring::new(&body, route, Some(nats), None);
        wiring.events.body("joined");
        let bus = wiring.bus.clone();
        let home = Arc::new(move |target: Target| {
            Home::new(target, body.clone(), bus.clone(), console.clone()).with_recorder(recorder.clone())
        });
        let supervisor = Supervisor::new(hosts.all().to_vec(), Restarts::default());
        let runtimes = hosts.all().iter().map(|host| host.runtime()).collect();
        // Without it a cell that blocks is not named; that is no reason not to run.
        let watchdog = Watchdog::start().inspect_err(|error| tracing::warn!(%error, "no watchdog")).ok();
        Self { supervisor, home, wiring, runtimes, _watchdog: watchdog }
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

    /// Starts an instance; done when calls reach it. Dropped before, nothing of it is left.
    ///
    /// # Errors
    /// Why it did not start: it is not tried again here.
    pub(crate) async fn start(&self, deployed: Deployed) -> Result<Instance, String> {
        match deployed {
            Deployed::Cell(spec) => {
                let home = (self.home)(spec.name.clone().into());
                let running = self.supervisor.start(spec, home).map_err(|error| error.to_string())?;
                let mut state = running.state();
                until(&mut state, |phase| phase != Phase::Starting).await;
                let now = state.borrow().clone();
                if now.phase != Phase::Ready {
                    return Err(reason(&now));
                }
                self.wiring.events.follow(&running);
                let announced = announce(self.wiring.nats.as_ref(), &running).await;
                Ok(Instance { life: Life::Cell(running), announced })
            }
            Deployed::Flow(spec) => {
                let serving = Flow::serve(&self.home, None, spec).await.serving?;
                Ok(Instance { life: Life::Flow(serving), announced: None })
            }
        }
    }

    /// Calls follow these manners from now on; these targets are known.
    pub(crate) fn know(&self, known: Vec<Target>, manners: Vec<(Target, Manners)>) {
        self.wiring.know(known, manners);
    }

    /// Tells that this body hands over what it runs.
    pub(crate) fn draining(&self) {
        self.wiring.events.body("draining");
    }

    /// Leaves the bus.
    pub(crate) async fn close(&self) {
        self.wiring.close().await;
    }
}

impl Instance {
    /// Done when it failed too often, with the reason.
    pub(crate) async fn ended(&self) -> String {
        let Life::Cell(running) = &self.life else { return std::future::pending().await };
        let mut state = running.state();
        until(&mut state, |phase| matches!(phase, Phase::Failed | Phase::Stopped)).await;
        let now = state.borrow().clone();
        reason(&now)
    }

    /// Takes no new calls, finishes those it has, and ends.
    pub(crate) async fn stop(self) {
        drop(self.announced);
        match self.life {
            Life::Cell(running) => running.stop().await,
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
