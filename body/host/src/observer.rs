//! What a person who watches a flow is told.

use std::time::Duration;

use cbs::{CellError, FlowName, Target, Transport};
use flow::{CallId, LogEntry};

/// One finished attempt of a step.
#[derive(Clone, Copy, Debug)]
pub struct StepReport<'a> {
    /// The flow.
    pub flow: &'a FlowName,
    /// Which step, which item, which attempt (from 0).
    pub call: &'a CallId,
    /// What was called.
    pub target: &'a Target,
    /// The body that answered; empty where none did or it was not told.
    pub body: &'a str,
    /// How far the answer came.
    pub via: Transport,
    /// From the call to its answer.
    pub elapsed: Duration,
    /// The error that the attempt ended with, if it did.
    pub outcome: Result<(), &'a CellError>,
}

/// Watches the steps of flows. Runs on the flow's task: it must not block.
pub trait StepObserver: Send + Sync + 'static {
    /// An attempt of a step has ended.
    fn finished(&self, report: &StepReport<'_>);

    /// A step was skipped or caught.
    fn noted(&self, _flow: &FlowName, _note: &LogEntry) {}
}
