//! Decisions about the restart of a cell that failed: pure functions of its history.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Restart policy of cells that fail. Intensity and period are Erlang/OTP's
/// (<https://www.erlang.org/doc/system/sup_princ.html#maximum-restart-intensity>): with more than
/// `intensity` failures within `period` the cell counts as failed. OTP would then end the
/// supervisor. Here the cell alone is tried again every `failed_retry`, because a missing
/// dependency may come back. It stays failed until it has been ready for a whole period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restarts {
    /// The wait before the first restart; each further one within the period doubles it.
    pub backoff: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// Number of failures within the period that lead to a restart.
    pub intensity: usize,
    /// Time for which a failure counts.
    pub period: Duration,
    /// The wait between attempts to start a failed cell.
    pub failed_retry: Duration,
    /// Limit of the time of a start, its hook included.
    pub start_timeout: Duration,
    /// Limit of the time of the stop hook.
    pub stop_timeout: Duration,
}

impl Default for Restarts {
    /// Returns the policy: waits from 100 ms to 10 s, 5 restarts in 30 s, then once a minute; 30 s
    /// to start, 10 s to stop.
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

/// Next action for a cell that failed.
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

    /// Records a failure now, after the cell had been ready for this long. Returns the next action.
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
