//! The processes of one cell that take calls, and which of them takes the next.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, oneshot, watch};

use crate::pooled_process::PooledProcess;

/// A place for one call in a process; given back when it is dropped.
pub(crate) struct Lease {
    pool: Arc<ProcessPool>,
    pub(crate) pooled: Arc<PooledProcess>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let next = self.pool.give_back(&self.pooled);
        // Past the lock: where the waiting call has just been given up, its place comes back here.
        if let Some((waiting, lease)) = next {
            drop(waiting.send(lease));
        }
    }
}

/// Where a call stands that wants a place.
pub(crate) enum Entry {
    Now(Lease),
    /// All are full; closed when none is left.
    Wait(oneshot::Receiver<Lease>),
    /// No process takes calls.
    Nobody,
}

/// The processes of a cell that take calls.
pub(crate) struct ProcessPool {
    state: Mutex<State>,
    /// Told when all are full: another would be of use.
    pub(crate) wants: Notify,
    /// Why the cell has ended, once it has.
    ended: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct State {
    /// In the order of their numbers.
    members: Vec<Arc<PooledProcess>>,
    waiting: VecDeque<oneshot::Sender<Lease>>,
    /// At so many waiting ones, those that have been given up are thrown out.
    sweep_at: usize,
    /// Started: from now on it ends with its last process.
    open: bool,
    /// Why a process ended last.
    last_reason: Option<String>,
}

/// Below this many it is not worth a sweep.
const SWEEP_MIN: usize = 64;

impl ProcessPool {
    pub(crate) fn new() -> Arc<Self> {
        let state = State { sweep_at: SWEEP_MIN, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), wants: Notify::new(), ended: watch::Sender::new(None) })
    }

    /// A place in the least busy process.
    pub(crate) fn enter(self: &Arc<Self>) -> Entry {
        let mut state = self.state();
        if state.members.is_empty() {
            return Entry::Nobody;
        }
        // Those who wait were here first.
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

    /// A process takes calls from now on.
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

    /// A process takes no more calls; those that it has go on. Where it was the last, those who wait
    /// are told.
    pub(crate) fn leave(&self, pooled: &Arc<PooledProcess>) {
        let mut state = self.state();
        state.members.retain(|other| !Arc::ptr_eq(other, pooled));
        if state.members.is_empty() {
            state.waiting.clear();
        }
    }

    /// Lets the process leave where more than `least` take calls, it is the last in order, and it has
    /// not been called for so long.
    pub(crate) fn dismiss(&self, pooled: &Arc<PooledProcess>, least: usize, idle: Duration) -> bool {
        let mut state = self.state();
        let last = state.members.last().is_some_and(|last| Arc::ptr_eq(last, pooled));
        let dismissed = last && state.members.len() > least && pooled.is_idle_for(idle);
        if dismissed {
            state.members.pop();
        }
        dismissed
    }

    /// How many take calls.
    pub(crate) fn len(&self) -> usize {
        self.state().members.len()
    }

    /// Whether all that take calls are full or have calls waiting within them: another would be of use.
    pub(crate) fn is_short(&self) -> bool {
        self.state().members.iter().all(|pooled| pooled.is_full() || pooled.heartbeat.queued() > 0)
    }

    /// From now on the cell ends with its last process.
    ///
    /// # Errors
    /// Where there is none any more: why, once it is known.
    pub(crate) fn open(&self) -> Result<(), Option<String>> {
        let mut state = self.state();
        state.open = true;
        if state.members.is_empty() { Err(state.last_reason.clone()) } else { Ok(()) }
    }

    /// A process has ended for this reason. `false` where it was the last: the cell has ended with it.
    pub(crate) fn exited(&self, reason: &str) -> bool {
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

    /// Done when the cell has ended, with the reason.
    pub(crate) fn ended(&self) -> impl Future<Output = String> + Send + use<> {
        let mut ended = self.ended.subscribe();
        async move {
            let reason = ended.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                // It was stopped: it never ends by itself.
                None => std::future::pending().await,
            }
        }
    }

    fn give_back(self: &Arc<Self>, pooled: &Arc<PooledProcess>) -> Option<(oneshot::Sender<Lease>, Lease)> {
        let mut state = self.state();
        pooled.give_back();
        self.next(&mut state)
    }

    /// The next of those who wait, with the place that it gets.
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

    /// A place in the least busy one that has any; one that owes answers to calls that were given up is
    /// taken only where all others are full.
    fn place(self: &Arc<Self>, state: &State) -> Option<Lease> {
        let free = state.members.iter().filter(|pooled| !pooled.is_full() && pooled.peer.end().is_none());
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

    /// Throws out those who have given up: from the front, for nobody is to wait behind them, and all
    /// of them when there may be many.
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
