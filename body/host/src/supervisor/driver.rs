//! The task of one cell: carries out the decisions of its history.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use cbs::{BoxFuture, CellEnv, DynCell, Service, Serving};
use model::{CellSpec, Phase};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    State,
    history::{History, Next},
};
use crate::{
    CellHandler,
    guard::{contain::Contained, scope::Label},
    runtime::{Host, Started},
};

/// One cell's task state, from its first start to its stop.
pub(super) struct Life {
    pub(super) host: Arc<dyn Host>,
    pub(super) spec: Arc<CellSpec>,
    pub(super) env: Arc<CellEnv>,
    pub(super) cell_handler: Arc<CellHandler>,
    pub(super) service: Service,
    pub(super) state: watch::Sender<State>,
    pub(super) stop: CancellationToken,
    pub(super) history: History,
}

/// Reason why one incarnation of a cell ended.
enum End {
    /// It was asked to stop, and stopped.
    Stopped,
    /// It could not be started, or ended by itself, after it was ready for this time.
    Fell { reason: String, ready_for: Duration },
}

impl Life {
    pub(super) async fn live(mut self) {
        let label = Label::new(self.env.target.name());
        loop {
            let (reason, ready_for) = match self.once(&label).await {
                End::Stopped => break,
                End::Fell { reason, ready_for } => (reason, ready_for),
            };
            let (phase, wait) = match self.history.exited(Instant::now(), ready_for) {
                Next::Restart(wait) => (Phase::Restarting, wait),
                Next::Failed(wait) => (Phase::Failed, wait),
            };
            tracing::error!(
                target: "cbs::cell",
                cell = %self.spec.name,
                state = %phase,
                "the cell failed and is started again in {} ms: {reason}", wait.as_millis()
            );
            self.enter(phase, Some(reason));
            if self.stop.run_until_cancelled(sleep(wait)).await.is_none() {
                break;
            }
            self.state.send_modify(|state| state.restarts += 1);
            self.cell_handler.stats().restarts.fetch_add(1, Ordering::Relaxed);
        }
        self.enter(Phase::Stopped, None);
    }

    /// Sets the cell's phase. The reason of the last restart stays unless there is a newer one.
    fn enter(&self, phase: Phase, reason: Option<String>) {
        self.state.send_modify(|state| {
            *state =
                State { phase, reason: reason.or(state.reason.take()), restarts: state.restarts };
            // The reason of an old restart is not shown while it is ready.
            let reason = state.reason.clone().filter(|_| phase != Phase::Ready);
            self.cell_handler.stats().set_state(phase.to_string().into(), reason);
        });
    }

    /// Starts the cell, serves it, and ends it: when it is to stop, or because it failed.
    async fn once(&self, label: &Label) -> End {
        // On the heap, as all short-lived futures: the task of a cell that serves is small.
        let started = match self.stop.run_until_cancelled(Box::pin(self.start(label))).await {
            None => return End::Stopped,
            Some(Err(reason)) => return End::Fell { reason, ready_for: Duration::ZERO },
            Some(Ok(started)) => started,
        };
        let Started { cell, ended, workers } = started;
        self.cell_handler.stats().set_workers(workers);
        self.cell_handler.put(Some(cell.clone()));
        let served = self.stop.run_until_cancelled(self.env.bus.serve(self.service.clone())).await;
        let end = match served {
            None => End::Stopped,
            Some(Err(error)) => End::Fell {
                reason: format!("it cannot be served: {error}"),
                ready_for: Duration::ZERO,
            },
            Some(Ok(serving)) => self.serve(serving, ended).await,
        };
        self.cell_handler.put(None);
        self.cell_handler.stats().set_workers(None);
        Box::pin(self.end(cell, label)).await;
        end
    }

    /// Starts the cell within the time limit.
    async fn start(&self, label: &Label) -> Result<Started, String> {
        let limit = self.history.restarts.start_timeout;
        match timeout(limit, Contained::new(label, || self.host.start(&self.spec, &self.env))).await
        {
            Ok(Ok(started)) => started.map_err(|error| error.to_string()),
            Ok(Err(panic)) => Err(format!("the start hook panicked: {panic}")),
            Err(_) => Err(format!("it was not started within {} s", limit.as_secs())),
        }
    }

    /// Serves the cell until it is to stop or ends by itself.
    async fn serve(&self, serving: Box<dyn Serving>, ended: BoxFuture<'static, String>) -> End {
        self.enter(Phase::Ready, None);
        let since = Instant::now();
        match self.stop.run_until_cancelled(ended).await {
            None => {
                self.enter(Phase::Draining, None);
                serving.stop().await;
                End::Stopped
            }
            Some(reason) => {
                let ready_for = since.elapsed();
                // Its callers learn at once that it is gone, and other bodies may serve them
                // meanwhile.
                self.cell_handler.put(None);
                self.enter(Phase::Restarting, Some(reason.clone()));
                self.stop.run_until_cancelled(serving.stop()).await;
                End::Fell { reason, ready_for }
            }
        }
    }

    /// Runs the stop hook within the time limit.
    async fn end(&self, cell: Arc<dyn DynCell>, label: &Label) {
        let limit = self.history.restarts.stop_timeout;
        let wrong = match timeout(limit, Contained::new(label, || cell.stop())).await {
            Ok(Ok(())) => return,
            Ok(Err(panic)) => format!("the stop hook panicked: {panic}"),
            Err(_) => format!("the stop hook was not done within {} s", limit.as_secs()),
        };
        tracing::error!(target: "cbs::cell", cell = %self.spec.name, "{wrong}");
    }
}
