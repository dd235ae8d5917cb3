//! The processes of one cell that take calls, and the choice of the next one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, oneshot, watch};

use crate::pooled_process::PooledProcess;

/// A slot for one call in a process. It is given back when it is dropped.
pub(crate) struct Lease {
    pool: Arc<ProcessPool>,
    pub(crate) pooled: Arc<PooledProcess>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let next = self.pool.give_back(&self.pooled);
        // This runs without the lock. If the waiting call has just given up, its slot comes back
        // here.
        if let Some((waiting, lease)) = next {
            drop(waiting.send(lease));
        }
    }
}

/// Result of a call's request for a slot.
pub(crate) enum Entry {
    Now(Lease),
    /// All processes are full. The channel is closed when no process is left.
    Wait(oneshot::Receiver<Lease>),
    /// No process takes calls.
    Nobody,
}

/// The processes of a cell that take calls.
pub(crate) struct ProcessPool {
    state: Mutex<State>,
    /// Notified when all processes are full: another one would be of use.
    pub(crate) wants: Notify,
    /// The reason why the cell has ended, as soon as it has.
    ended: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct State {
    /// The processes in the order of their numbers.
    members: Vec<Arc<PooledProcess>>,
    waiting: VecDeque<oneshot::Sender<Lease>>,
    /// Number of waiting calls at which the abandoned ones are removed.
    sweep_at: usize,
    /// Set after the start. From then on the cell ends with its last process.
    open: bool,
    /// The reason of the latest end of a process.
    last_reason: Option<String>,
}

/// Least number of waiting calls that is worth a sweep.
const SWEEP_MIN: usize = 64;

impl ProcessPool {
    pub(crate) fn new() -> Arc<Self> {
        let state = State { sweep_at: SWEEP_MIN, ..State::default() };
        Arc::new(Self {
            state: Mutex::new(state),
            wants: Notify::new(),
            ended: watch::Sender::new(None),
        })
    }

    /// Takes a slot in the least busy process.
    pub(crate) fn enter(self: &Arc<Self>) -> Entry {
        let mut state = self.state();
        if state.members.is_empty() {
            return Entry::Nobody;
        }
        // Calls that wait already come first.
        state.sweep();
        let place = if state.waiting.is_empty() { self.place(&state) } else { None };
        let entry = place.map_or_else(|| Entry::Wait(state.wait()), Entry::Now);
        let full = state.members.iter().all(|pooled| pooled.is_full());
        drop(state);
        if full {
            self.wants.notify_one();
        }
        entry
    }

    /// Adds a process, which takes calls from now on.
    pub(crate) fn join(self: &Arc<Self>, pooled: Arc<PooledProcess>) {
        let mut state = self.state();
        let at = state.members.partition_point(|other| other.number < pooled.number);
        state.members.insert(at, pooled);
        let mut placed = Vec::new();
        while let Some(next) = self.next(&mut state) {
            placed.push(next);
        }
        drop(state);
        for (waiting, lease) in placed {
            drop(waiting.send(lease));
        }
    }

    /// Removes a process, which takes no more calls; the calls that it has go on. If it was the
    /// last one, the calls that wait get an error.
    pub(crate) fn leave(&self, pooled: &Arc<PooledProcess>) {
        let mut state = self.state();
        state.members.retain(|other| !Arc::ptr_eq(other, pooled));
        if state.members.is_empty() {
            state.waiting.clear();
        }
    }

    /// Removes the process if more than `least` processes take calls, it is the last in order, and
    /// it has had no call for the time `idle`. Returns whether it did.
    pub(crate) fn dismiss(
        &self,
        pooled: &Arc<PooledProcess>,
        least: usize,
        idle: Duration,
    ) -> bool {
        let mut state = self.state();
        let last = state.members.last().is_some_and(|last| Arc::ptr_eq(last, pooled));
        let dismissed = last && state.members.len() > least && pooled.is_idle_for(idle);
        if dismissed {
            state.members.pop();
        }
        dismissed
    }

    /// Returns the number of processes that take calls.
    pub(crate) fn len(&self) -> usize {
        self.state().members.len()
    }

    /// True if all processes are full or have calls that wait within them: another process would be
    /// of use.
    pub(crate) fn is_short(&self) -> bool {
        self.state().members.iter().all(|pooled| pooled.is_full() || pooled.heartbeat.queued() > 0)
    }

    /// Marks the cell as started: from now on it ends with its last process.
    ///
    /// # Errors
    /// No process is left. The value is the reason, if it is known.
    pub(crate) fn open(&self) -> Result<(), Option<String>> {
        let mut state = self.state();
        state.open = true;
        if state.members.is_empty() { Err(state.last_reason.clone()) } else { Ok(()) }
    }

    /// Records that a process has ended for this reason. Returns `false` if it was the last one:
    /// the cell has ended with it.
    pub(crate) fn one_exited(&self, reason: &str) -> bool {
        let mut state = self.state();
        state.last_reason = Some(reason.to_owned());
        let last = state.open && state.members.is_empty();
        drop(state);
        if last {
            // The first reason stays.
            self.ended.send_if_modified(|ended| {
                let first = ended.is_none();
                ended.get_or_insert_with(|| reason.to_owned());
                first
            });
        }
        !last
    }

    /// Waits until the cell has ended, and returns the reason.
    pub(crate) fn ended(&self) -> impl Future<Output = String> + Send + use<> {
        let mut ended = self.ended.subscribe();
        async move {
            let reason =
                ended.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                // The cell was stopped, so it never ends by itself.
                None => std::future::pending().await,
            }
        }
    }

    fn give_back(
        self: &Arc<Self>,
        pooled: &Arc<PooledProcess>,
    ) -> Option<(oneshot::Sender<Lease>, Lease)> {
        let mut state = self.state();
        pooled.give_back();
        self.next(&mut state)
    }

    /// Returns the next call that waits, with the slot that it gets.
    fn next(self: &Arc<Self>, state: &mut State) -> Option<(oneshot::Sender<Lease>, Lease)> {
        loop {
            let waiting = state.waiting.pop_front()?;
            if waiting.is_closed() {
                continue;
            }
            let Some(lease) = self.place(state) else {
                state.waiting.push_front(waiting);
                return None;
            };
            return Some((waiting, lease));
        }
    }

    /// Takes a slot in the least busy process that has one. Abandoned calls that a process has not
    /// answered count as its load.
    fn place(self: &Arc<Self>, state: &State) -> Option<Lease> {
        let free =
            state.members.iter().filter(|pooled| !pooled.is_full() && pooled.peer.end().is_none());
        let pooled = free.min_by_key(|pooled| pooled.load())?.clone();
        pooled.take();
        Some(Lease { pool: self.clone(), pooled })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self) -> oneshot::Receiver<Lease> {
        let (place, waits) = oneshot::channel();
        self.waiting.push_back(place);
        waits
    }

    /// Removes abandoned calls: those at the front, because no other call is to wait behind them,
    /// and all of them when there may be many.
    fn sweep(&mut self) {
        while self.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            self.waiting.pop_front();
        }
        if self.waiting.len() >= self.sweep_at {
            self.waiting.retain(|waiting| !waiting.is_closed());
            self.sweep_at = (self.waiting.len() * 2).max(SWEEP_MIN);
        }
    }
}

#[cfg(test)]
#[path = "process_pool_tests.rs"]
mod tests;
