//! The errors that a run itself makes.

use cbs::{CellError, Text};
use serde_json::json;

use super::Run;
use crate::{Decision, LogEntry, expression::Failure, plan::PlanStep};

/// The code of an error that an expression gave.
const EXPRESSION_CODE: &str = "flow.expression";

impl Run {
    /// Returns the error of an expression without a value. The values themselves go into a note.
    pub(super) fn no_value(&mut self, place: &str, failure: Failure) -> CellError {
        let message = format!("{place}{}", failure.message);
        if let Some(values) = failure.values {
            self.decisions
                .push(Decision::Log(LogEntry::NoValue { message: message.clone(), values }));
        }
        CellError::domain(EXPRESSION_CODE, message)
    }
}

/// Returns the error of a flow: the step's error with the step's name in its message. If the error
/// has no details, the step's name is put into them too.
pub(super) fn named(step: &PlanStep, item: Option<u32>, what: &str, error: CellError) -> CellError {
    let place = item.map_or_else(|| Text::from(""), |item| Text::from(format!(", item {item}")));
    let message = format!("step `{}`{place}{what}: {}", step.id(), error.message);
    let details = error.details.unwrap_or_else(|| match item {
        Some(item) => json!({ "step": step.id(), "item": item }),
        None => json!({ "step": step.id() }),
    });
    CellError { code: error.code, message, retryable: error.retryable, details: Some(details) }
}
