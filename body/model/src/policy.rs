//! Policy of the calls of a cell: limits, retries, and the route.

use std::time::Duration;

/// Policy of the calls of one cell.
///
/// The limits hold in the body that runs the cell. Retries and the route hold in every body that
/// calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPolicy {
    /// Limit of the time of one call.
    pub timeout: Duration,
    /// Limit of the calls that run at once in one body, at least 1.
    pub concurrency: usize,
    /// Limit of the further calls that may wait in one body.
    pub queue: usize,
    /// True if a call may be tried again after an unknown outcome.
    pub idempotent: bool,
    /// Rules for trying a failed call again; `None`: never.
    pub retry: Option<RetryPolicy>,
    /// Route of the calls; `None`: the route of the calling body.
    pub route: Option<Route>,
}

impl CallPolicy {
    /// Default limit of the time of one call.
    pub const TIMEOUT_DEFAULT: Duration = cbs::TIMEOUT_DEFAULT;
    /// Default limit of the calls that run at once in one body.
    pub const CONCURRENCY_DEFAULT: usize = 64;
    /// Default limit of the further calls that may wait.
    pub const QUEUE_DEFAULT: usize = 256;
}

impl Default for CallPolicy {
    /// Returns the policy of a cell whose spec says nothing: 64 calls at once, 256 that wait, 5 s,
    /// no retries, the route of the body.
    fn default() -> Self {
        Self {
            timeout: Self::TIMEOUT_DEFAULT,
            concurrency: Self::CONCURRENCY_DEFAULT,
            queue: Self::QUEUE_DEFAULT,
            idempotent: false,
            retry: None,
            route: None,
        }
    }
}

/// Rules for trying a failed call again: number of attempts and waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Limit of the attempts after the first; 0: never.
    pub max: u32,
    /// Wait before the first retry; each further retry doubles it.
    pub backoff: Duration,
    /// Limit of the wait.
    pub backoff_max: Duration,
}

impl RetryPolicy {
    /// Default wait before the first retry.
    pub const BACKOFF_DEFAULT: Duration = Duration::from_millis(100);
    /// Default limit of the wait (or the first wait if that is longer).
    pub const BACKOFF_MAX_DEFAULT: Duration = Duration::from_secs(5);

    /// Returns the longest wait before the retry of this number, from 0. Callers add jitter.
    #[must_use]
    pub fn wait(&self, retry: u32) -> Duration {
        self.backoff.saturating_mul(2u32.saturating_pow(retry)).min(self.backoff_max)
    }
}

/// Route of the calls to a cell or a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// Handled in this body if it hosts the target and has capacity, otherwise over NATS.
    #[default]
    LocalFirst,
    /// Always over NATS, if there is NATS.
    Nats,
}

impl Route {
    /// The word of the spec: `local-first` or `nats`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LocalFirst => "local-first",
            Self::Nats => "nats",
        }
    }

    /// Reads the word of a spec; `None` for another word.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        [Self::LocalFirst, Self::Nats].into_iter().find(|route| route.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_its_limit() {
        let policy = RetryPolicy {
            max: 9,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
        };
        let waits: Vec<u128> = (0..6).map(|retry| policy.wait(retry).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(policy.wait(u32::MAX), policy.backoff_max);
    }

    #[test]
    fn a_route_is_read_from_its_word() {
        for route in [Route::LocalFirst, Route::Nats] {
            assert_eq!(Route::read(route.as_str()), Some(route));
        }
        assert_eq!(Route::read("direct"), None);
    }
}
