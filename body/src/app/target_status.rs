//! Status of a cell or flow of a body, for persons and programs.

use std::sync::Arc;

use cbs::{Namespace, Subject, Target};
use model::{CellSpec, Phase, Schema};
use serde::{Serialize, Serializer};
use serde_json::Value;
use spec::FlowSpec;

use super::example::example;
use crate::metrics::CANNOT_RUN;

/// Status of one cell or flow of the body's specs.
#[derive(Debug, Serialize)]
pub(crate) struct TargetStatus {
    /// Name of the cell or flow.
    #[serde(serialize_with = "as_text")]
    pub(crate) target: Target,
    /// Language that it is written in.
    pub(crate) language: &'static str,
    /// NATS subject of its calls.
    pub(crate) subject: String,
    /// State: `ready`, another phase of the cell, or `cannot run`.
    pub(crate) state: String,
    /// Reason why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Schema of its input.
    #[serde(skip)]
    input: Option<Arc<dyn Schema>>,
    /// True if calling it twice does no harm.
    #[serde(skip)]
    pub(crate) idempotent: bool,
}

impl TargetStatus {
    pub(super) fn of_cell(namespace: &Namespace, cell: &host::Running) -> Self {
        let state = cell.state();
        let now = state.borrow();
        // The reason of an earlier restart does not matter when the cell is ready.
        let reason = now.reason.clone().filter(|_| now.phase != Phase::Ready);
        Self { state: now.phase.to_string(), reason, ..Self::of_spec(namespace, cell.spec()) }
    }

    pub(super) fn of_unsupported(namespace: &Namespace, spec: &CellSpec, reason: &str) -> Self {
        Self {
            state: CANNOT_RUN.to_owned(),
            reason: Some(reason.to_owned()),
            ..Self::of_spec(namespace, spec)
        }
    }

    pub(super) fn of_flow(namespace: &Namespace, spec: &FlowSpec, wrong: Option<&String>) -> Self {
        let state = if wrong.is_some() { CANNOT_RUN } else { Phase::Ready.as_str() };
        Self {
            state: state.to_owned(),
            reason: wrong.cloned(),
            ..Self::new(namespace, spec.name.clone().into(), "yaml")
        }
    }

    fn of_spec(namespace: &Namespace, spec: &CellSpec) -> Self {
        Self {
            input: spec.input.clone(),
            idempotent: spec.policy.idempotent,
            ..Self::new(namespace, spec.name.clone().into(), spec.language())
        }
    }

    fn new(namespace: &Namespace, target: Target, language: &'static str) -> Self {
        let subject = Subject::of(namespace, &target).into();
        Self {
            target,
            language,
            subject,
            state: String::new(),
            reason: None,
            input: None,
            idempotent: false,
        }
    }

    /// Returns true if calls reach it.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == Phase::Ready.as_str()
    }

    /// Returns an example input that it accepts, or `None` if it has no input schema or no example
    /// is found.
    pub(crate) fn example(&self) -> Option<Value> {
        example(self.input.as_deref()?)
    }

    /// Returns true if it cannot run in this body.
    pub(crate) fn cannot_run(&self) -> bool {
        self.state == CANNOT_RUN
    }
}

fn as_text<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(target)
}
