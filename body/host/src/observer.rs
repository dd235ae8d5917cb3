//! Reports for an observer of flows.

use std::time::Duration;

use cbs::{CellError, FlowName, Target, Transport};
use flow::{CallId, LogEntry};

/// One finished attempt of a step.
#[derive(Clone, Copy, Debug)]
pub struct StepReport<'a> {
    /// The flow.
    pub flow: &'a FlowName,
    /// The step, the item, and the attempt (from 0).
    pub call: &'a CallId,
    /// Target that was called.
    pub target: &'a Target,
    /// The body that answered; empty if none did or it was not reported.
    pub body: &'a str,
    /// Distance of the answer: the transport it came by.
    pub via: Transport,
    /// Time from the call to its answer.
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
