//! The body as one of a fleet, and what deployers write for it.
//!
//! The mind is the crate `fleet`: pure, and proven there. Here are its hands.
//!
//! - `store`: the buckets of a namespace. `artifact`: a spec as it travels.
//! - `apply`: a deploy, all or nothing. `waiting`: until every body has followed, `replaced`: or
//!   another head stands there. `patience`: while NATS is away. `unplaced`: why something does not move.
//! - `inventory`: what lies in the buckets. `collecting`: what of it may go.
//! - `driver`: tells the mind what happens and does what it says. `life`: one instance. `cache`: code on disk.

mod apply;
mod artifact;
mod cache;
mod collecting;
mod driver;
mod instance;
mod inventory;
mod replaced;
mod retry_until;
mod rollout_status;
mod store;
mod unplaced;

use std::time::Duration;

use bus::{RetryPolicy, Routing};
use serde::{Deserialize, Serialize};
use spec::CellSpec;

pub(crate) use self::{
    apply::{ChangeSet, Written},
    artifact::{Artifact, SpecDocument},
    driver::{Driver, Joining},
    inventory::Inventory,
    replaced::{Replaced, replaced},
    retry_until::{DeployStage, RetryUntil},
    rollout_status::{Outcome, Wanted, wait},
    store::{Now, Store},
    unplaced::{explain, is_leaving},
};
use crate::app::CallPolicy;

/// The word by which bodies are asked whether they are of the fleet.
pub(crate) const ASK_FLEET: &str = "fleet";

/// How a body fares in its fleet, for those who watch it from within: health and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Following {
    /// Whether it may change anything: it is connected, hears its own lease, and has no twin.
    pub(crate) following: bool,
    /// Whether it runs what the newest head that it heard of wants of it, and nothing is under way.
    pub(crate) converged: bool,
    /// The head that it has applied; `None` before the first.
    pub(crate) head_number: Option<u64>,
    /// How many entries do not fare here as they should, as far as they are told in words.
    pub(crate) troubles: usize,
    /// Why it does not follow or is not converged, one line; `None` where it is.
    pub(crate) reason: Option<String>,
}

/// Operating system and processor of this program.
pub(crate) fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// How callers treat a cell, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<Again>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Again {
    max: u32,
    backoff_ms: u64,
    backoff_max_ms: u64,
    idempotent: bool,
}

impl Policy {
    /// `None` for a cell that is called as bodies are set.
    fn of(spec: &CellSpec) -> Option<Self> {
        let CallPolicy { route, retry } = CallPolicy::of(spec);
        let route = route.map(|route| match route {
            Routing::LocalFirst => "local-first".to_owned(),
            Routing::Nats => "nats".to_owned(),
        });
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let retry = retry.map(|retry| Again {
            max: retry.max,
            backoff_ms: millis(retry.backoff),
            backoff_max_ms: millis(retry.backoff_max),
            idempotent: retry.idempotent,
        });
        (route.is_some() || retry.is_some()).then_some(Self { route, retry })
    }

    fn call_policy(&self) -> CallPolicy {
        let route = self.route.as_deref().and_then(|word| match word {
            "nats" => Some(Routing::Nats),
            "local-first" => Some(Routing::LocalFirst),
            // A word of a newer program.
            _ => None,
        });
        let retry = self.retry.as_ref().map(|retry| RetryPolicy {
            max: retry.max,
            backoff: Duration::from_millis(retry.backoff_ms),
            backoff_max: Duration::from_millis(retry.backoff_max_ms),
            idempotent: retry.idempotent,
        });
        CallPolicy { route, retry }
    }
}
