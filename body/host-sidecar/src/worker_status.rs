//! The status of a cell's workers, one row for each process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cbs::{ListWorkers, Worker};
use model::Phase;
use sidecar::Peer;

use crate::heartbeat::Heartbeat;

/// Status of one of a cell's processes, through all its restarts.
pub(crate) struct WorkerStatus {
    /// Name of the process for people, before its number.
    called: &'static str,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    pid: Option<u32>,
    phase: Phase,
    restarts: u64,
    serving: Option<(Arc<Peer>, Arc<Heartbeat>)>,
}

impl WorkerStatus {
    /// Records that the process runs, and takes no calls yet.
    pub(crate) fn started(&self, pid: u32) {
        let mut life = self.life();
        (life.pid, life.phase, life.serving) = (Some(pid), Phase::Starting, None);
    }

    pub(crate) fn ready(&self, peer: Arc<Peer>, heartbeat: Arc<Heartbeat>) {
        let mut life = self.life();
        (life.phase, life.serving) = (Phase::Ready, Some((peer, heartbeat)));
    }

    pub(crate) fn draining(&self) {
        self.life().phase = Phase::Draining;
    }

    /// Records that the process has ended, and is started again after a while.
    pub(crate) fn exited(&self) {
        let mut life = self.life();
        (life.pid, life.phase, life.serving) = (None, Phase::Restarting, None);
        life.restarts += 1;
    }

    fn worker(&self, silence: Duration) -> Worker {
        let life = self.life();
        let called = self.called;
        let name = life.pid.map_or_else(|| format!("{called} –"), |pid| format!("{called} {pid}"));
        let worker = Worker {
            name: name.into(),
            state: life.phase.as_str().into(),
            restarts: life.restarts,
            ..Worker::default()
        };
        let Some((peer, heartbeat)) = &life.serving else { return worker };
        let queued = heartbeat.queued();
        let unanswered = u64::try_from(peer.unanswered()).unwrap_or(u64::MAX);
        let blocked = life.phase == Phase::Ready && heartbeat.is_silent(Instant::now(), silence);
        Worker {
            state: if blocked { "blocked".into() } else { worker.state },
            in_flight: unanswered.saturating_sub(queued),
            queued,
            lag_us: heartbeat.lag_us(),
            lock_wait_us: heartbeat.lock_wait_us(),
            credit_bytes: peer.credit(),
            ..worker
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of all present processes of a cell, by the numbers of their tasks.
#[derive(Clone, Default)]
pub(crate) struct Rows(Arc<Mutex<BTreeMap<u32, Arc<WorkerStatus>>>>);

impl Rows {
    /// Adds a row with this number and name, which stays until it is removed.
    pub(crate) fn add(&self, number: u32, called: &'static str) -> Arc<WorkerStatus> {
        let row = Arc::new(WorkerStatus { called, life: Mutex::default() });
        self.rows().insert(number, row.clone());
        row
    }

    pub(crate) fn remove(&self, number: u32) {
        self.rows().remove(&number);
    }

    /// Returns a function that lists the status of all processes. A process whose pong is due for
    /// longer than `silence` counts as blocked.
    pub(crate) fn workers(&self, silence: Duration) -> ListWorkers {
        let all = self.clone();
        Arc::new(move || all.rows().values().map(|row| row.worker(silence)).collect())
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<WorkerStatus>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
