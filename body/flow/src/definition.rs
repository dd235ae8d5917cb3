//! A flow as its author means it: names checked, expressions not yet compiled.

use std::time::Duration;

use cbs::{FlowName, Target};
use serde_json::Value;

/// How many items of an `each` run at once unless the flow says otherwise.
pub const PARALLEL_DEFAULT: usize = 8;

/// A flow: steps that call cells and other flows, and what it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// The flow's name.
    pub name: FlowName,
    /// The steps in the order they are written.
    pub steps: Vec<Step>,
    /// A template of the answer; without one, the value of the last step.
    pub output: Option<Value>,
}

/// One step of a flow: one call, or one call for each item of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The step's id: unique in its flow, `[a-z][a-z0-9_-]*`. (`-` is written `.steps["my-step"]` in jq.)
    pub id: String,
    /// What is called.
    pub target: Target,
    /// A template of the call's input; `None` sends `null`.
    pub with: Option<Value>,
    /// An expression `${ … }`; the step is skipped, and its value `null`, where it gives `false` or `null`.
    pub when: Option<Value>,
    /// One call for each item of a list.
    pub each: Option<Each>,
    /// The ids of the steps that must be done before; `None`: the step above.
    pub needs: Option<Vec<String>>,
    /// How often and when a failed call is tried again.
    pub retry: Option<Retry>,
    /// The most time one attempt may take; `None`: what remains of the flow's own.
    pub timeout: Option<Duration>,
    /// What to do when the step failed for good.
    pub catch: Option<Box<Catch>>,
}

/// Fan-out over a list; the step's value is the list of answers in the list's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Each {
    /// A template that gives the list. When an item fails for good no further one starts.
    pub items: Value,
    /// How many calls may run at once, at least 1.
    pub parallel: usize,
}

/// How often and after what wait a failed call is tried again.
///
/// Tried again is a call that certainly did not run, an error that says `retryable`, and
/// `cell-failed`: that attempt is over, and by writing `retry` the author says that the call
/// may be made again. A `timeout` is not: the call may still run, and two would run at once.
/// Where the target is known to be idempotent, who calls it marks the timeout `retryable`.
/// Answers such as `bad-request` or a cell's own codes stay answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many times more, at most.
    pub max: u32,
    /// The wait before the first retry; each further one doubles it. A run waits between the half
    /// and the whole of that.
    pub backoff: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
}

/// The fallback of a step that failed for good, by an error of its call (after its retries) or of
/// its expressions: its answer becomes the step's value. Roots: `.error` as well. When it fails, the flow fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Catch {
    /// Which codes are caught; empty: all.
    pub codes: Vec<String>,
    /// What is called instead, once; `None`: `with` itself is the step's value.
    pub target: Option<Target>,
    /// A template of the fallback's input, or of the step's value.
    pub with: Option<Value>,
    /// The most time the fallback may take.
    pub timeout: Option<Duration>,
}

/// A mistake in a flow: where, what, and one hint how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: keys and indexes below the flow's `spec`, for example `steps`, `1`, `with`, `name`.
    pub path: Vec<PathPart>,
    /// A stable code, for example `flow-cycle`.
    pub code: &'static str,
    /// What is wrong, one line.
    pub message: String,
    /// How to mend it, one line.
    pub hint: Option<String>,
}

/// One part of a [`Problem`]'s path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPart {
    /// A key of a map.
    Key(String),
    /// An index of a list, from 0.
    Index(usize),
}
