//! What a run is told, and what it decides.

use std::time::Duration;

use cbs::{CellError, Target, Text};
use serde::{Deserialize, Serialize};

use crate::{CallId, Json};

/// What happened outside. The events of a run, in their order, are its whole history:
/// the same events given to a new run of the same plan give the same decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The flow was called. The first event; a second one is ignored.
    Started {
        /// The flow's input, `.input` in expressions.
        input: Json,
    },
    /// A call was answered.
    Answered {
        /// Which call.
        call: CallId,
        /// The answer.
        value: Json,
    },
    /// A call failed.
    Failed {
        /// Which call.
        call: CallId,
        /// The error.
        error: CellError,
        /// Whether it is certain that the callee did not run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        not_run: bool,
    },
    /// The delay of a [`Decision::Wait`] is over.
    Waited {
        /// The call that waited.
        call: CallId,
    },
}

/// What is to be done now. The decisions of one event are independent of each other
/// and may be carried out at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// Call the target; tell the run [`Event::Answered`] or [`Event::Failed`].
    Call {
        /// Names the call.
        call: CallId,
        /// What is called.
        #[serde(with = "target_text")]
        target: Target,
        /// What it is given.
        input: Json,
        /// The most time the call may take; `None`: what remains of the flow's own.
        timeout: Option<Duration>,
        /// 0 for the first attempt, one more for each retry, as in an envelope.
        attempt: u32,
    },
    /// Wait, then tell the run [`Event::Waited`].
    Wait {
        /// The attempt that waits; it is called when the delay is over.
        call: CallId,
        /// How long.
        delay: Duration,
    },
    /// The flow is done: no call runs any more, nothing follows. A [`Decision::Wait`] of a step that
    /// was caught meanwhile may still be open: drop it.
    Finish {
        /// The flow's answer.
        output: Json,
    },
    /// The flow failed, nothing follows. Calls that still run and waits are abandoned: drop them.
    Fail {
        /// The failed step's error; its message names the step.
        error: CellError,
    },
    /// Nothing to do: a note for a person who watches the run.
    Log(LogEntry),
}

/// What a person who watches a run wants to know, and no call shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum LogEntry {
    /// The step's `when` said no; its value is `null`.
    Skipped {
        /// The step's id.
        step: Text,
    },
    /// An expression has no value. The error that this leads to says so without any value of the run.
    NoValue {
        /// The error's message: which step, which expression, why.
        message: String,
        /// The error with its values, cut: for the body's own log, and for nobody else.
        values: String,
    },
    /// The step failed for good, and its `catch` takes over.
    Caught {
        /// The step's id.
        step: Text,
        /// What was caught.
        error: CellError,
    },
}

/// A target as its text, `cell logic.greet`: the contract gives it no serde of its own.
mod target_text {
    use cbs::Target;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(target)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Target, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
