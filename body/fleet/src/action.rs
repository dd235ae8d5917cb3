//! Decisions of a pass: the actions for the driver.

use std::fmt;

use cbs::{BodyId, Target};

use crate::{Moment, Paused, Revision, States, Trouble, Verdict, Version};

/// One thing for the driver to do. The driver begins it at once and reports the outcome later; the
/// body has noted the action as under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start an instance: fetch the spec and the bundle, check both against their hashes, start,
    /// subscribe, wait for the barrier. Ends with [`Body::ready`](crate::Body::ready) or
    /// [`Body::failed`](crate::Body::failed).
    Start {
        /// The cell or flow.
        target: Target,
        /// The instance's number.
        instance: u64,
        /// Version to start.
        version: Version,
        /// True if it is a canary: it gets no calls until a share says so.
        canary: bool,
        /// Time limit of the start, in milliseconds.
        limit: u64,
    },
    /// Stop an instance without losing a call: take no more, finish those that run, end. Ends
    /// with [`Body::stopped`](crate::Body::stopped).
    Stop {
        /// The cell or flow.
        target: Target,
        /// The instance's number.
        instance: u64,
        /// Reason of the stop.
        why: Why,
        /// Time that its calls may take to finish, in milliseconds; then they are cut off.
        limit: u64,
    },
    /// Make a canary an instance like any other: let it take calls of its own, as a start does
    /// in the end, while its share goes on. Ends with [`Body::ready`](crate::Body::ready) or
    /// [`Body::failed`](crate::Body::failed).
    Promote {
        /// The cell or flow.
        target: Target,
        /// The instance's number.
        instance: u64,
        /// Time limit of the promotion, in milliseconds.
        limit: u64,
    },
    /// Give this canary so many percent of the calls, or (`None`) none.
    Share {
        /// The cell or flow.
        target: Target,
        /// The canary's revision, and its share in percent.
        canary: Option<(Revision, u8)>,
    },
    /// Write a verdict about a canary, unless there is one: create the key. If the key exists
    /// already, the action counts as done.
    Rule {
        /// The cell or flow.
        target: Target,
        /// The canary's revision.
        revision: Revision,
        /// Verdict to write.
        verdict: Verdict,
        /// Reason of the verdict, for people.
        reason: String,
    },
}

/// Reason why an instance stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The manifest no longer has it, or has it disabled.
    Undeployed,
    /// Another revision is ready in this body.
    Replaced,
    /// It was a canary and did worse than it may.
    RolledBack,
    /// Its rollout wants it gone before another revision starts.
    Recreated,
    /// The owners are ready and have received the presence that says that this body leaves.
    Taken(Vec<BodyId>),
    /// No other body relied on it: it was not ready, and is not wanted here any more.
    Unneeded,
    /// This body ends, and no other body can run it.
    Ending,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undeployed => f.write_str("it is no longer deployed"),
            Self::Replaced => f.write_str("another revision is ready here"),
            Self::RolledBack => f.write_str("it is rolled back"),
            Self::Recreated => f.write_str("it is stopped before another revision starts"),
            Self::Taken(owners) => {
                f.write_str("it is served by ")?;
                owners.iter().enumerate().try_for_each(|(index, body)| {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{body}")
                })
            }
            Self::Unneeded => f.write_str("it is no longer wanted here"),
            Self::Ending => f.write_str("this body ends and nobody else can run it"),
        }
    }
}

/// Result of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Actions to carry out, in this order.
    pub actions: Vec<Action>,
    /// Status of every entry, for the next presence.
    pub states: States,
    /// The first refusals and failures, as texts.
    pub troubles: Vec<Trouble>,
    /// Moment when something changes by time alone; the driver passes again then, if nothing
    /// happens before.
    pub wake: Option<Moment>,
    /// Reason why nothing may be changed now, if there is one; there are then no actions.
    pub paused: Option<Paused>,
}
