//! A flow as its author wrote it: names checked, expressions not yet compiled.

use std::time::Duration;

use cbs::{FlowName, Target};
use model::RetryPolicy;
use serde_json::Value;

/// Default limit of the items of an `each` that run at once.
pub const PARALLEL_DEFAULT: usize = 8;

/// A flow: steps that call cells and other flows, and a template of the answer.
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
    /// The step's id: unique in its flow, `[a-z][a-z0-9_-]*`. (`-` is written `.steps["my-step"]`
    /// in jq.)
    pub id: String,
    /// Cell or flow that is called.
    pub target: Target,
    /// A template of the call's input; `None` sends `null`.
    pub with: Option<Value>,
    /// An expression `${ … }`; the step is skipped, and its value `null`, where it gives `false` or
    /// `null`.
    pub when: Option<Value>,
    /// One call for each item of a list.
    pub each: Option<Each>,
    /// The ids of the steps that must be done before; `None`: the step above.
    pub needs: Option<Vec<String>>,
    /// Rules for trying a failed call again; `None`: never.
    pub retry: Option<RetryPolicy>,
    /// Limit of the time of one attempt; `None`: the rest of the flow's own time.
    pub timeout: Option<Duration>,
    /// Fallback when the step has failed for good.
    pub catch: Option<Box<Catch>>,
}

/// Fan-out over a list; the step's value is the list of answers in the list's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Each {
    /// A template that gives the list. When an item fails for good no further one starts.
    pub items: Value,
    /// Limit of the calls that run at once, at least 1.
    pub parallel: usize,
}

/// The fallback of a step that failed for good, by an error of its call (after its retries) or of
/// its expressions. The fallback's answer becomes the step's value. Its expressions may also read
/// `.error`. If the fallback fails, the flow fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Catch {
    /// Error codes that are caught; empty: all.
    pub codes: Vec<String>,
    /// Cell or flow that is called instead, once; `None`: `with` itself is the step's value.
    pub target: Option<Target>,
    /// A template of the fallback's input, or of the step's value.
    pub with: Option<Value>,
    /// Limit of the time of the fallback.
    pub timeout: Option<Duration>,
}

/// A mistake in a flow: its place, its description, and a hint how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Place of the mistake: keys and indexes below the flow's `spec`, such as `steps`, `1`,
    /// `with`.
    pub path: Vec<PathPart>,
    /// A stable code, for example `flow-cycle`.
    pub code: &'static str,
    /// Description of the mistake, one line.
    pub message: String,
    /// Hint how to mend it, one line.
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
