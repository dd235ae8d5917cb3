//! What a pass decides.

use std::fmt;

use cbs::{BodyId, Target};

use crate::{Moment, Paused, Revision, States, Trouble, Verdict, Version};

/// One thing for the driver to do. It begins at once and tells the outcome later; the body has
/// noted the action as under way.
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
        /// What to start.
        version: Version,
        /// Whether it is a canary: it gets no calls until a share says so.
        canary: bool,
        /// How long it may take, milliseconds.
        limit: u64,
    },
    /// Stop an instance without losing a call: take no more, finish those that run, end. Ends
    /// with [`Body::stopped`](crate::Body::stopped).
    Stop {
        /// The cell or flow.
        target: Target,
        /// The instance's number.
        instance: u64,
        /// Why.
        why: Why,
        /// How long calls may take to finish, milliseconds; then they are cut off.
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
        /// How long it may take, milliseconds.
        limit: u64,
    },
    /// Give this canary so many percent of the calls, or (`None`) none.
    Share {
        /// The cell or flow.
        target: Target,
        /// The canary's revision, and its share in percent.
        canary: Option<(Revision, u8)>,
    },
    /// Write a verdict about a canary, unless there is one: create the key, and take it for
    /// done when somebody else was first.
    Rule {
        /// The cell or flow.
        target: Target,
        /// The canary's revision.
        revision: Revision,
        /// What is decided.
        verdict: Verdict,
        /// Why, for people.
        reason: String,
    },
}

/// Why an instance stops.
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
    /// The owners are ready and have heard that this body leaves.
    Taken(Vec<BodyId>),
    /// Nobody relied on it: it was not ready, and is not wanted here any more.
    Unneeded,
    /// This body ends, and nobody else can run it.
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

/// What came of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// How every entry fares: what the next presence tells.
    pub states: States,
    /// The first refusals and failures, in words.
    pub troubles: Vec<Trouble>,
    /// When something changes by time alone; the driver passes again then, if nothing happens
    /// before.
    pub wake: Option<Moment>,
    /// Why nothing may be changed now, where that is so; there are then no actions.
    pub paused: Option<Paused>,
}
