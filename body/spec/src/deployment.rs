//! Where and whether a cell or a flow runs in a fleet.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

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
            replicas: Replicas::Count(NonZeroU32::MIN),
            spread: None,
            placement: BTreeMap::new(),
            rollout: Rollout::Rolling,
            enabled: true,
        }
    }
}

impl Deployment {
    /// Returns the default deployment of a flow: every body, because a flow that is not called
    /// costs nothing.
    pub(crate) fn of_flow() -> Self {
        Self { replicas: Replicas::All, ..Self::default() }
    }
}

/// Number of bodies that run a cell, one instance on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// This number of bodies, or all bodies that can run it if they are fewer.
    Count(NonZeroU32),
    /// Every body that can run it.
    All,
}

/// Way in which a new revision replaces the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// The old revision stops when the new one is ready.
    Rolling,
    /// The old revision stops, then the new one starts.
    Recreate,
    /// Both run. The new revision gets a share of the calls until it has passed or failed.
    Canary(Canary),
}

/// Share of calls that a canary gets, and the rules that decide about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Its share of the calls in percent, 1 to 99.
    pub share: u8,
    /// Number of calls that it answers before anything is decided.
    pub calls: u64,
    /// Time that it is ready before it takes over.
    pub after: Duration,
    /// Limit of its failed calls above those of the old revision, in percent of the calls.
    pub errors: u8,
    /// Limit of its 95th percentile, in percent of the old revision's. Above it, it is too slow.
    pub slower: u32,
}

impl Default for Canary {
    /// Returns a tenth of the calls, 50 calls, a minute, 1 % more errors, twice the time.
    fn default() -> Self {
        Self { share: 10, calls: 50, after: Duration::from_secs(60), errors: 1, slower: 200 }
    }
}
