//! Limits of the calls of a cell or the runs of a flow.

use std::time::Duration;

use bus::ConcurrencySettings;
use cbs::TIMEOUT_DEFAULT;
use model::CallPolicy;

/// Limits of the calls of one cell, or the runs of one flow, in this body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Number of calls that run at once, and number of calls that wait.
    pub concurrency: ConcurrencySettings,
    /// Limit of the time that one may take, waiting included; a caller may give it less.
    pub timeout: Duration,
}

impl Default for CallLimits {
    /// Returns limits where 64 run and 256 wait, for 5 s at most.
    fn default() -> Self {
        Self { concurrency: ConcurrencySettings::default(), timeout: TIMEOUT_DEFAULT }
    }
}

impl From<&CallPolicy> for CallLimits {
    fn from(policy: &CallPolicy) -> Self {
        let concurrency = ConcurrencySettings {
            concurrency: policy.concurrency,
            queue: policy.queue,
            ..ConcurrencySettings::default()
        };
        Self { concurrency, timeout: policy.timeout }
    }
}
