//! When a cell that failed is started again: pure decisions over its history.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// How cells that fail are started again. Intensity and period are Erlang/OTP's
/// (<https://www.erlang.org/doc/system/sup_princ.html#maximum-restart-intensity>): more than
/// `intensity` failures within `period` and the cell counts as failed. Where OTP would then
/// end the supervisor, the cell alone is tried again every `failed_retry`, for what it waits
/// for may come back; it stays failed until it has been ready for a whole period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restarts {
    /// The wait before the first restart; each further one within the period doubles it.
    pub backoff: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// How many failures within the period are met with a restart.
    pub intensity: usize,
    /// How long a failure counts.
    pub period: Duration,
    /// The wait between tries of a failed cell.
    pub failed_retry: Duration,
    /// The most time that a start, its hook included, may take.
    pub start_timeout: Duration,
    /// The most time that the stop hook may take.
    pub stop_timeout: Duration,
}

impl Default for Restarts {
    /// From 100 ms to 10 s, 5 in 30 s, then once a minute; 30 s to start, 10 s to stop.
    fn default() -> Self {
        Self {
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            intensity: 5,
            period: Duration::from_secs(30),
            failed_retry: Duration::from_secs(60),
            start_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// What is to be done with a cell that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Start it again after this long.
    Restart(Duration),
    /// It counts as failed; try it again after this long.
    Failed(Duration),
}

/// The failures of one cell that still count.
#[derive(Debug)]
pub(super) struct History {
    pub(super) restarts: Restarts,
    failures: VecDeque<Instant>,
    failed: bool,
}

impl History {
    pub(super) fn new(restarts: Restarts) -> Self {
        Self { restarts, failures: VecDeque::new(), failed: false }
    }

    /// The cell failed now, after it had been ready for this long.
    pub(super) fn exited(&mut self, now: Instant, ready_for: Duration) -> Next {
        let Restarts { period, intensity, .. } = self.restarts;
        if ready_for >= period {
            self.failed = false;
            self.failures.clear();
        }
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|first| now.duration_since(*first) > period) {
            self.failures.pop_front();
        }
        self.failed |= self.failures.len() > intensity;
        if self.failed {
            return Next::Failed(self.restarts.failed_retry);
        }
        let doublings = u32::try_from(self.failures.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let backoff = self.restarts.backoff.saturating_mul(2u32.saturating_pow(doublings));
        Next::Restart(backoff.min(self.restarts.backoff_max))
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
