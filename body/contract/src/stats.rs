//! Counters of a served target, and the state of its workers.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Code, Latency, Text};

/// Counters of a served target since it was started. Every field only grows, except `in_flight` and
/// `queued`.
#[derive(Default)]
pub struct Stats {
    /// Requests answered, with a reply or an error.
    pub calls: AtomicU64,
    /// Of these, with an error.
    pub errors: AtomicU64,
    /// Of these, refused with `overloaded`.
    pub shed: AtomicU64,
    /// Time spent in the handler, in nanoseconds.
    pub busy_ns: AtomicU64,
    /// Time that requests waited for a permit before they ran, in nanoseconds. Requests that did
    /// not run are not counted.
    pub waited_ns: AtomicU64,
    /// Durations of the requests that ran, waiting included; counted where the environment has a
    /// span sink.
    pub latency: Latency,
    /// Requests being handled now.
    pub in_flight: AtomicU64,
    /// Requests that wait for a permit now.
    pub queued: AtomicU64,
    /// Number of times the target was started again.
    pub restarts: AtomicU64,
    by_code: [AtomicU64; Code::KINDS],
    said: Mutex<Remarks>,
    workers: Mutex<Option<ListWorkers>>,
}

/// Texts about a target.
#[derive(Default)]
struct Remarks {
    last_error: Option<String>,
    state: Text,
    reason: Option<String>,
}

/// Lists the workers of a cell with their present state. Must not block.
pub type ListWorkers = Arc<dyn Fn() -> Vec<Worker> + Send + Sync>;

/// One lane of an interpreter or one process that runs a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Worker {
    /// Name of the worker for people: `lane 0`, `process 4711`.
    pub name: Text,
    /// State of the worker: `ready`, or the reason why it is not: `starting`, `blocked`,
    /// `restarting`.
    pub state: Text,
    /// Calls that it runs now.
    pub in_flight: u64,
    /// Calls that wait in it for their turn.
    pub queued: u64,
    /// Delay of its event loop, in microseconds.
    pub lag_us: u64,
    /// Time that it waits for a lock that it shares with other workers, in microseconds.
    pub lock_wait_us: u64,
    /// Number of times it was started again.
    pub restarts: u64,
    /// Number of bytes that may still be sent to its process before the process has taken others; a
    /// value below 0 is reported as 0. `None`: it sets no limit, or is no process.
    pub credit_bytes: Option<u64>,
}

/// See [`Stats::lines_dropped`].
static LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

impl Stats {
    /// Number of lines that cells logged or printed and that were left out of this program's log,
    /// because there were too many at once. One number for the whole program; the code that leaves
    /// a line out adds to it, and reports that in the log.
    pub fn lines_dropped() -> &'static AtomicU64 {
        &LINES_DROPPED
    }

    /// Counts a request that was answered with an error, and keeps the error's one line.
    pub fn count_error(&self, code: &Code, line: String) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(1, Ordering::Relaxed);
        if let Some(count) = self.by_code.get(code.kind()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.said().last_error = Some(line);
    }

    /// Counts a request that ran: the time that it waited for a permit, and the time that the
    /// handler took.
    pub fn count_run(&self, waited: Duration, busy: Duration) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.busy_ns.fetch_add(nanos(busy), Ordering::Relaxed);
        if !waited.is_zero() {
            self.waited_ns.fetch_add(nanos(waited), Ordering::Relaxed);
        }
    }

    /// Number of errors of each kind of code; a cell's own codes are one kind, `domain`.
    pub fn errors_by_code(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Code::kinds().zip(&self.by_code).map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
    }

    /// Of the errors, those that are the callee's fault: `cell-failed`, `internal`, `timeout`,
    /// `unavailable`.
    #[must_use]
    pub fn faults(&self) -> u64 {
        let faults = [Code::CellFailed, Code::Internal, Code::Timeout, Code::Unavailable];
        faults
            .iter()
            .filter_map(|code| self.by_code.get(code.kind()))
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// The last error's one line.
    pub fn last_error(&self) -> Option<String> {
        self.said().last_error.clone()
    }

    /// Sets the state of the target, such as `ready`, and the reason why it is not ready.
    pub fn set_state(&self, state: Text, reason: Option<String>) {
        let mut said = self.said();
        (said.state, said.reason) = (state, reason);
    }

    /// State of the target, and the reason for it; an empty text where no state was set.
    pub fn state(&self) -> (Text, Option<String>) {
        let said = self.said();
        (said.state.clone(), said.reason.clone())
    }

    fn said(&self) -> MutexGuard<'_, Remarks> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the function that lists the workers; `None` where there are none.
    pub fn set_workers(&self, workers: Option<ListWorkers>) {
        *self.workers.lock().unwrap_or_else(PoisonError::into_inner) = workers;
    }

    /// Present state of the workers; empty for a target that runs in the body itself.
    pub fn workers(&self) -> Vec<Worker> {
        let ask = self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ask.map(|ask| ask()).unwrap_or_default()
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, errors, shed, .. } = self;
        f.debug_struct("Numbers")
            .field("calls", calls)
            .field("errors", errors)
            .field("shed", shed)
            .finish_non_exhaustive()
    }
}
