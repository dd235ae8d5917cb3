//! The body as one of a fleet, and what deployers write for it.
//!
//! The reconciler is the crate `fleet`: it has no I/O, and its rules are proven there. This module
//! carries out its decisions.
//!
//! - `store`: the buckets of a namespace. `artifact`: a spec as it is stored.
//! - `apply`: a deploy, all or nothing. `rollout_status`: waits until every body has followed.
//!   `replaced`: ends that wait when another head takes the place. `retry_until`: repeats steps
//!   while NATS does not answer. `unplaced`: the reason why an entry stays in its body, or runs
//!   nowhere.
//! - `inventory`: the list of all objects in the buckets. `collecting`: removal of those that
//!   nobody needs.
//! - `driver`: reports events to the reconciler and carries out its decisions. `instance`: one
//!   instance. `cache`: code on disk.

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
pub(crate) mod unplaced;

use std::time::Duration;

use model::{CallPolicy, RetryPolicy, Route};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    apply::{ChangeSet, Written},
    artifact::{Artifact, SpecDocument},
    driver::{Driver, Joining},
    inventory::Inventory,
    replaced::{Replaced, replaced},
    retry_until::{DeployStage, RetryUntil, unless_denied},
    rollout_status::{Outcome, Wanted, wait},
    store::{Now, Store},
};

/// Value of `ask` in the request that finds the bodies of the fleet.
pub(crate) const ASK_FLEET: &str = "fleet";

/// Status of a body in its fleet, for health and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Following {
    /// True if the body may change anything: it is connected, it receives its own lease, and no
    /// other body has its id.
    pub(crate) following: bool,
    /// True if the body runs all that the newest head it has received asks of it, and no work is
    /// under way.
    pub(crate) converged: bool,
    /// The head that it has applied; `None` before the first.
    pub(crate) head_number: Option<u64>,
    /// Number of entries that are not as they should be on this body, as far as a message describes
    /// them.
    pub(crate) troubles: usize,
    /// Why it does not follow or is not converged, one line; `None` where it is.
    pub(crate) reason: Option<String>,
}

/// Operating system and processor of this program.
pub(crate) fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// Call policy of a cell as it is stored: what callers in other bodies need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPolicy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<StoredRetry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredRetry {
    max: u32,
    backoff_ms: u64,
    backoff_max_ms: u64,
    idempotent: bool,
}

impl StoredPolicy {
    /// Returns `None` for a cell whose calls follow the settings of each body.
    fn of(policy: &CallPolicy) -> Option<Self> {
        let route = policy.route.map(|route| route.as_str().to_owned());
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let retry = policy.retry.as_ref().map(|retry| StoredRetry {
            max: retry.max,
            backoff_ms: millis(retry.backoff),
            backoff_max_ms: millis(retry.backoff_max),
            idempotent: policy.idempotent,
        });
        (route.is_some() || retry.is_some()).then_some(Self { route, retry })
    }

    /// Returns the policy for callers. A route that a newer program has written is left out.
    fn call_policy(&self) -> CallPolicy {
        let retry = self.retry.as_ref().map(|retry| RetryPolicy {
            max: retry.max,
            backoff: Duration::from_millis(retry.backoff_ms),
            backoff_max: Duration::from_millis(retry.backoff_max_ms),
        });
        CallPolicy {
            idempotent: self.retry.as_ref().is_some_and(|retry| retry.idempotent),
            retry,
            route: self.route.as_deref().and_then(Route::read),
            ..CallPolicy::default()
        }
    }
}
