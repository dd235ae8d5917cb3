//! Where and whether a cell or a flow runs in a fleet.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

/// What `replicas`, `spread`, `placement`, `rollout` and `enabled` say. None of it is part of a
/// spec's revision: a cell that is only placed anew is not started anew where it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// On how many bodies it runs.
    pub replicas: Replicas,
    /// A label's key: replicas go to bodies whose values of it differ.
    pub spread: Option<String>,
    /// Labels that a body must have.
    pub placement: BTreeMap<String, String>,
    /// How a new revision takes the place of the old one.
    pub rollout: Rollout,
    /// Whether it runs at all.
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
    /// As it is for a flow unless its spec says otherwise: on every body, for it costs nothing
    /// while nobody calls it.
    pub(crate) fn of_flow() -> Self {
        Self { replicas: Replicas::All, ..Self::default() }
    }
}

/// On how many bodies a cell runs, one instance on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// On so many, or on all that can where these are fewer.
    Count(NonZeroU32),
    /// On every body that can.
    All,
}

/// How a new revision takes the place of the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// The new one is ready, then the old one stops.
    Rolling,
    /// The old one stops, then the new one starts.
    Recreate,
    /// Both run, the new one for a share of the calls, until it has done well or badly.
    Canary(Canary),
}

/// How much a canary gets, and what decides about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Its share of the calls in percent, 1 to 99.
    pub share: u8,
    /// How many calls it answers before anything is decided.
    pub calls: u64,
    /// How long it is ready before it takes over.
    pub after: Duration,
    /// How many percent more of its calls than of the old revision's may fail.
    pub errors: u8,
    /// Its 95th percentile in percent of the old revision's: above it, it is too slow.
    pub slower: u32,
}

impl Default for Canary {
    /// A tenth of the calls, 50 calls, a minute, 1 % more errors, twice the time.
    fn default() -> Self {
        Self { share: 10, calls: 50, after: Duration::from_secs(60), errors: 1, slower: 200 }
    }
}
