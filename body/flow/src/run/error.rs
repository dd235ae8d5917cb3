//! The errors that a run gives of its own.

use cbs::{CellError, Text};
use serde_json::{Value, json};

use crate::plan::PlanStep;

/// The code of an error that an expression gave.
const EXPRESSION_CODE: &str = "flow.expression";

pub(super) fn expression_error(reason: String) -> CellError {
    CellError::domain(EXPRESSION_CODE, reason)
}

/// The error of a flow: the step's own, with the step's name in its message and, where it has none, its details.
pub(super) fn named(step: &PlanStep, item: Option<u32>, what: &str, error: CellError) -> CellError {
    let place = item.map_or_else(|| Text::from(""), |item| Text::from(format!(", item {item}")));
    let message = format!("step `{}`{place}{what}: {}", step.id(), error.message);
    let details = error.details.unwrap_or_else(|| match item {
        Some(item) => json!({ "step": step.id(), "item": item }),
        None => json!({ "step": step.id() }),
    });
    CellError { code: error.code, message, retryable: error.retryable, details: Some(details) }
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
