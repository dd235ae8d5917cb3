//! What a served target counts, and how those fare that run it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use serde::{Deserialize, Serialize};

use crate::Text;

/// A served target's numbers since it was started. Every field only grows, but for
/// `in_flight` and `queued`.
#[derive(Default)]
pub struct Numbers {
    /// Requests answered, with a reply or an error.
    pub calls: AtomicU64,
    /// Of these, with an error.
    pub errors: AtomicU64,
    /// Of these, refused with `overloaded`.
    pub shed: AtomicU64,
    /// Time spent in the handler, in nanoseconds.
    pub busy_ns: AtomicU64,
    /// Requests being handled now.
    pub in_flight: AtomicU64,
    /// Requests waiting for room now.
    pub queued: AtomicU64,
    /// How often the target was started again.
    pub restarts: AtomicU64,
    last_error: Mutex<Option<String>>,
    state: Mutex<(Text, Option<String>)>,
    workers: Mutex<Option<Workers>>,
}

/// Tells how the workers of a cell fare now. Must not block.
pub type Workers = Arc<dyn Fn() -> Vec<Worker> + Send + Sync>;

/// One lane of an interpreter or one process that runs a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Worker {
    /// What a person calls it: `lane 0`, `process 4711`.
    pub name: Text,
    /// `ready`, or what keeps it from being so: `starting`, `blocked`, `restarting`.
    pub state: Text,
    /// Calls that it runs now.
    pub in_flight: u64,
    /// Calls that wait in it for their turn.
    pub queued: u64,
    /// How late its event loop is, in microseconds.
    pub lag_us: u64,
    /// How long it waits for a lock that it shares with other workers, in microseconds.
    pub lock_wait_us: u64,
    /// How often it was started again.
    pub restarts: u64,
}

impl Numbers {
    /// Keeps the last error's one line.
    pub fn set_last_error(&self, line: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }

    /// The last error's one line.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says where the target is in its life, in a word such as `ready`, and why it is not ready.
    pub fn set_state(&self, state: Text, reason: Option<String>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (state, reason);
    }

    /// Where the target is in its life, and why; an empty word where nobody said.
    pub fn state(&self) -> (Text, Option<String>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says who can tell how the workers fare; `None` where there are none.
    pub fn set_workers(&self, workers: Option<Workers>) {
        *self.workers.lock().unwrap_or_else(PoisonError::into_inner) = workers;
    }

    /// How the workers fare now; none for what runs in the body itself.
    pub fn workers(&self) -> Vec<Worker> {
        let ask = self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ask.map(|ask| ask()).unwrap_or_default()
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, errors, shed, .. } = self;
        f.debug_struct("Numbers")
            .field("calls", calls)
            .field("errors", errors)
            .field("shed", shed)
            .finish_non_exhaustive()
    }
}
