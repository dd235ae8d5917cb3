//! The supervision of a cell: it is started, served, restarted when it fails, and stopped.

mod driver;
mod history;

use std::{sync::Arc, time::Duration};

use cbs::{CellEnv, Service};
use model::{CellSpec, Phase};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::history::Restarts;
use self::{driver::Life, history::History};
use crate::{
    CallLimits, CellHandler, Schemas,
    cell_handler::about,
    runtime::{Host, HostError},
};

/// A cell's phase and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Current phase.
    pub phase: Phase,
    /// Reason of its last restart or failure, one line; `None` if it never failed.
    pub reason: Option<String>,
    /// Number of restarts.
    pub restarts: u64,
}

/// Starts each cell with the host of its runtime, and restarts it on its own task: one cell's crash
/// loop never affects another.
pub struct Supervisor {
    hosts: Vec<Arc<dyn Host>>,
    restarts: Restarts,
    tasks: TaskTracker,
    hurry: CancellationToken,
}

impl Supervisor {
    /// Returns a supervisor over these hosts, one for each runtime.
    #[must_use]
    pub fn new(hosts: Vec<Arc<dyn Host>>, restarts: Restarts) -> Self {
        Self { hosts, restarts, tasks: TaskTracker::new(), hurry: CancellationToken::new() }
    }

    /// Returns a token that ends every wait for a first start ([`Running::started`]) when it is
    /// cancelled: a body that is asked to stop does not wait for cells to become ready.
    #[must_use]
    pub fn hurry(&self) -> CancellationToken {
        self.hurry.clone()
    }

    /// Checks that the cell could be started here.
    ///
    /// # Errors
    /// [`HostError`] says what is wrong, and how to correct it.
    pub fn check(&self, spec: &CellSpec) -> Result<(), HostError> {
        self.host(spec)?.check(spec)
    }

    /// Starts a cell, and serves it on the bus of `env` when it is ready. Returns at once; see
    /// [`Running::ready`]. Revision and config of `env` are taken from the spec. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// As [`Self::check`]. Later errors are in the [`State`].
    pub fn start(&self, spec: Arc<CellSpec>, env: CellEnv) -> Result<Running, HostError> {
        let host = self.host(&spec)?.clone();
        host.check(&spec)?;
        let config = serde_json::Value::Object(spec.config.clone());
        let mut env = env.with_spec(spec.metadata.revision.as_str().into(), config);
        env.language = spec.language().into();
        let env = Arc::new(env);
        let cell_handler =
            CellHandler::vacant(env.clone(), CallLimits::from(&spec.policy), Schemas::from(&*spec));
        let service = cell_handler.service(Arc::new(about(&spec)));
        service.stats.set_state(Phase::Starting.to_string().into(), None);
        let (report, state) =
            watch::channel(State { phase: Phase::Starting, reason: None, restarts: 0 });
        let stop = CancellationToken::new();
        let life = Life {
            host,
            service: service.clone(),
            spec: spec.clone(),
            env,
            cell_handler: cell_handler.clone(),
            state: report,
            stop: stop.clone(),
            history: History::new(self.restarts.clone()),
        };
        let task = self.tasks.spawn(life.live());
        Ok(Running { spec, cell_handler, service, state, stop, hurry: self.hurry.clone(), task })
    }

    fn host(&self, spec: &CellSpec) -> Result<&Arc<dyn Host>, HostError> {
        let runtime = spec.language();
        self.hosts.iter().find(|host| host.runtime() == runtime).ok_or_else(|| HostError::NoHost {
            name: spec.name.clone(),
            runtime,
            hosted: self.hosts.iter().map(|host| host.runtime()).collect(),
        })
    }
}

/// A supervised cell. Dropping it ends the cell at once, without its stop hook;
/// [`Self::stop`] loses nothing.
pub struct Running {
    spec: Arc<CellSpec>,
    cell_handler: Arc<CellHandler>,
    service: Service,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    hurry: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Returns the cell's spec.
    #[must_use]
    pub fn spec(&self) -> &Arc<CellSpec> {
        &self.spec
    }

    /// Returns the service that discovery reports, also while calls do not reach the cell.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Returns the handler that answers its calls, and counts them.
    #[must_use]
    pub fn handler(&self) -> &Arc<CellHandler> {
        &self.cell_handler
    }

    /// Returns a receiver of the state and of its changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until calls reach the cell.
    ///
    /// # Errors
    /// The state, when the cell failed too often or was stopped, or was not ready within the limit.
    pub async fn ready(&self, limit: Duration) -> Result<(), State> {
        let mut state = self.state.clone();
        let settled =
            |state: &State| matches!(state.phase, Phase::Ready | Phase::Failed | Phase::Stopped);
        // No answer in time, or a driver that has ended: the current state is the error.
        _ = tokio::time::timeout(limit, state.wait_for(settled)).await;
        let now = state.borrow().clone();
        if now.phase == Phase::Ready { Ok(()) } else { Err(now) }
    }

    /// Waits until calls reach the cell, or its first start has failed.
    ///
    /// # Errors
    /// The state, when the first start failed, or the cell was not ready within the limit.
    pub async fn started(&self, limit: Duration) -> Result<(), State> {
        let mut state = self.state.clone();
        // No answer in time, or a driver that has ended: the current state is the error.
        let settled = state.wait_for(|state| state.phase != Phase::Starting);
        tokio::select! {
            biased;
            _ = tokio::time::timeout(limit, settled) => {}
            () = self.hurry.cancelled() => {}
        }
        let now = state.borrow().clone();
        if now.phase == Phase::Ready { Ok(()) } else { Err(now) }
    }

    /// Withdraws the cell from the bus without losing a call, runs its stop hook, and returns. The
    /// caller sets the time limit by dropping the future, which ends the cell at once.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(cell = %self.spec.name, "the cell's driver ended badly: {error}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
