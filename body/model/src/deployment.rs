//! Where, whether and how a cell or a flow runs in a fleet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Values of the fields `replicas`, `spread`, `place`, `rollout` and `enabled`. They are no part of
/// a spec's revision: after a change of placement alone, a cell is not restarted where it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Number of bodies that run it.
    pub replicas: Replicas,
    /// Key of a label: replicas go to bodies with different values of this label.
    pub spread: Option<String>,
    /// Labels that a body must have.
    pub placement: BTreeMap<String, String>,
    /// Way in which a new revision replaces the old one.
    pub rollout: Rollout,
    /// True if it runs at all.
    pub enabled: bool,
}

impl Default for Deployment {
    fn default() -> Self {
        Self {
            replicas: Replicas::default(),
            spread: None,
            placement: BTreeMap::new(),
            rollout: Rollout::default(),
            enabled: true,
        }
    }
}

impl Deployment {
    /// Returns the default deployment of a flow: every body, because a flow that is not called
    /// costs nothing.
    #[must_use]
    pub fn of_flow() -> Self {
        Self { replicas: Replicas::All, ..Self::default() }
    }
}

/// Number of bodies that run a cell or a flow, one instance on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replicas {
    /// On this number of bodies, or on all that can run it where these are fewer; at least 1.
    Count(u32),
    /// On every body that can.
    All,
}

impl Default for Replicas {
    fn default() -> Self {
        Self::Count(1)
    }
}

/// Manner in which a new revision takes the place of the old.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rollout {
    /// The new one starts and is ready, then the old one stops: no call fails.
    #[default]
    Rolling,
    /// The old one stops, then the new one starts: never both, for a while none.
    Recreate,
    /// Both run, the new one for a share of the calls, until a verdict.
    Canary(CanaryRules),
}

/// Rules of a canary: its share of the calls, and the limits that decide about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryRules {
    /// Its share of the calls in percent, 1 to 99.
    pub share: u8,
    /// Number of calls that it must have answered before anything is decided for it, at least 1.
    #[serde(default = "CanaryRules::calls_default")]
    pub calls_min: u64,
    /// Time that it must have been ready before it is promoted, in milliseconds.
    #[serde(default = "CanaryRules::after_default")]
    pub after_ms: u64,
    /// Limit of additional errors: how many percent more of its calls than of the old revision's
    /// may fail.
    #[serde(default = "CanaryRules::errors_default")]
    pub errors_more_max: u8,
    /// Its 95th percentile in percent of the old revision's: above it, it is too slow.
    #[serde(default = "CanaryRules::slower_default")]
    pub slower_max: u32,
}

impl CanaryRules {
    /// This share with the other rules as they are by default: 50 calls, 60 s, 1 % more errors,
    /// twice the time.
    #[must_use]
    pub fn share(share: u8) -> Self {
        Self {
            share,
            calls_min: Self::calls_default(),
            after_ms: Self::after_default(),
            errors_more_max: Self::errors_default(),
            slower_max: Self::slower_default(),
        }
    }

    fn calls_default() -> u64 {
        50
    }

    fn after_default() -> u64 {
        60_000
    }

    fn errors_default() -> u8 {
        1
    }

    fn slower_default() -> u32 {
        200
    }
}
