//! A gate: counts the calls inside. When it is closed, the calls inside go on to their end and no
//! other enters.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The lowest bit means closed; the rest counts in steps of [`ONE`]. Both are in one integer, so
/// that entering and closing always see each other.
const CLOSED: usize = 1;
const ONE: usize = 2;

/// Counter of the calls inside.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicUsize,
    empty: Notify,
}

impl Gate {
    /// Enters. Returns false if the gate is closed. A caller that has entered must [`Self::leave`].
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

    /// Closes the gate: no call enters from now on.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Waits until the gate is closed and no call is inside.
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
