//! Limits of the calls of a cell or the runs of a flow.

use std::time::Duration;

use bus::ConcurrencySettings;
use cbs::TIMEOUT_DEFAULT;
use spec::{CellSpec, FlowSpec};

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

impl From<&CellSpec> for CallLimits {
    fn from(spec: &CellSpec) -> Self {
        let concurrency = ConcurrencySettings {
            concurrency: spec.concurrency,
            queue: spec.queue,
            ..ConcurrencySettings::default()
        };
        Self { concurrency, timeout: spec.timeout }
    }
}

impl From<&FlowSpec> for CallLimits {
    fn from(spec: &FlowSpec) -> Self {
        Self { timeout: spec.timeout, ..Self::default() }
    }
}
