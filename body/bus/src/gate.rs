//! A gate: counts who is inside, and closes so that all inside leave and nobody enters.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The lowest bit says closed; the rest counts in steps of [`ONE`]. One word, so that entering
/// and closing cannot miss each other.
const CLOSED: usize = 1;
const ONE: usize = 2;

/// Counts who is inside.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicUsize,
    empty: Notify,
}

impl Gate {
    /// Enters; false when the gate is closed. Who entered must [`Self::leave`].
    pub(crate) fn enter(&self) -> bool {
        let entered = self.state.fetch_add(ONE, Ordering::AcqRel) & CLOSED == 0;
        if !entered {
            self.leave();
        }
        entered
    }

    /// Leaves.
    pub(crate) fn leave(&self) {
        if self.state.fetch_sub(ONE, Ordering::AcqRel) == ONE | CLOSED {
            self.empty.notify_waiters();
        }
    }

    /// Lets nobody in from now on.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Done when the gate is closed and nobody is inside.
    pub(crate) async fn emptied(&self) {
        loop {
            let mut changed = std::pin::pin!(self.empty.notified());
            changed.as_mut().enable();
            if self.state.load(Ordering::Acquire) == CLOSED {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
