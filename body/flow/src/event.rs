//! The events that a run receives, and the decisions that it returns.

use cbs::{CellError, Target, Text, Uuid};
use serde::{Deserialize, Serialize};

use crate::{CallId, Json};

/// Event that a run receives. The events of a run, in their order, are its whole history:
/// the same events given to a new run of the same plan and id give the same decisions.
///
/// `at_ms` is the time of the event, in milliseconds since 1970, by the clock of the body that
/// recorded it. A run knows no other time: all due times follow from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The flow was called. The first event; a second one is ignored.
    Started {
        /// Time of the event.
        at_ms: u64,
        /// The flow's input, `.input` in expressions.
        input: Json,
    },
    /// A call was answered.
    Answered {
        /// Time of the event.
        at_ms: u64,
        /// The call.
        call: CallId,
        /// The answer.
        value: Json,
    },
    /// A call failed.
    Failed {
        /// Time of the event.
        at_ms: u64,
        /// The call.
        call: CallId,
        /// The error.
        error: CellError,
        /// True if it is certain that the callee did not run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        not_run: bool,
    },
    /// The wait of a [`Decision::Wait`] is over.
    Waited {
        /// Time of the event.
        at_ms: u64,
        /// The call that waited.
        call: CallId,
    },
}

impl Event {
    /// Time of the event, in milliseconds since 1970.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        match self {
            Self::Started { at_ms, .. }
            | Self::Answered { at_ms, .. }
            | Self::Failed { at_ms, .. }
            | Self::Waited { at_ms, .. } => *at_ms,
        }
    }
}

/// Decision of a run that the driver must carry out now. The decisions of one event are
/// independent of each other and may be carried out at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// Call the target, then give the run [`Event::Answered`] or [`Event::Failed`].
    Call {
        /// Names the call.
        call: CallId,
        /// Id of the call's envelope, see [`CallId::id_in`]; a retry keeps it.
        id: Uuid,
        /// Cell or flow that is called.
        #[serde(with = "target_text")]
        target: Target,
        /// Input of the call.
        input: Json,
        /// Time when the attempt must have ended, in milliseconds since 1970; `None`: when the
        /// flow must.
        due_ms: Option<u64>,
        /// 0 for the first attempt, one more for each retry, as in an envelope.
        attempt: u32,
    },
    /// Wait, then give the run [`Event::Waited`].
    Wait {
        /// The attempt that waits; it is called when the wait is over.
        call: CallId,
        /// Time when the wait is over, in milliseconds since 1970.
        due_ms: u64,
    },
    /// The flow is done: no call runs any more, and no decision follows. A [`Decision::Wait`] of a
    /// step that was caught in the meantime may still be open: drop it.
    Finish {
        /// The flow's answer.
        output: Json,
    },
    /// The flow failed, and no decision follows. Running calls and waits are abandoned: drop them.
    Fail {
        /// The failed step's error; its message names the step.
        error: CellError,
    },
    /// A note for a person who watches the run. There is nothing to do.
    Log(LogEntry),
}

/// Note about a run that its calls do not show, for a person who watches it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum LogEntry {
    /// The step's `when` gave `false` or `null`; the step's value is `null`.
    Skipped {
        /// The step's id.
        step: Text,
    },
    /// An expression has no value. The error that follows holds no values of the run.
    NoValue {
        /// The error's message, with the step, the expression and the reason.
        message: String,
        /// The error with its values, shortened. Only for the body's own log.
        values: String,
    },
    /// The step failed for good, and its `catch` takes over.
    Caught {
        /// The step's id.
        step: Text,
        /// The error that was caught.
        error: CellError,
    },
}

/// Serializes a target as its text, `cell logic.greet`: the crate `cbs` has no serde for it.
mod target_text {
    use cbs::Target;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        target: &Target,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(target)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Target, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
