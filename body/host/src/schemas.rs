//! Schemas of a cell's payloads.

use std::sync::Arc;

use cbs::{BusError, CellError, Envelope, Outcome, from_json};
use model::{CellSpec, Schema, Violation};
use serde_json::{Value, json};

/// The schemas of a cell's input and output; `None`: any payload is valid.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    /// Schema of a request's payload.
    pub input: Option<Arc<dyn Schema>>,
    /// Schema of a reply's payload.
    pub output: Option<Arc<dyn Schema>>,
}

impl From<&CellSpec> for Schemas {
    fn from(spec: &CellSpec) -> Self {
        Self { input: spec.input.clone(), output: spec.output.clone() }
    }
}

impl Schemas {
    /// Checks a request.
    ///
    /// # Errors
    /// `bad-request` with the first violation's path in the message, and all of them in the
    /// details: `{"schema": …, "violations": [{"path": "/name", "message": …}]}`. The cell did not
    /// run.
    pub(crate) fn check_input(&self, request: &Envelope) -> Result<(), BusError> {
        let Some(schema) = &self.input else { return Ok(()) };
        check(&**schema, request).map_err(|error| BusError::new(error, Outcome::NotRun))
    }

    /// Checks a reply.
    ///
    /// # Errors
    /// The mistakes in it, for the log.
    pub(crate) fn check_output(&self, reply: &Envelope) -> Result<(), CellError> {
        self.output.as_ref().map_or(Ok(()), |schema| check(&**schema, reply))
    }
}

fn check(schema: &dyn Schema, message: &Envelope) -> Result<(), CellError> {
    if !is_json(message.content_type()) {
        let found: String = message.content_type().chars().take(80).collect();
        return Err(CellError::bad_request(format!(
            "the payload is {found}; {} is JSON",
            schema.name()
        )));
    }
    let value: Value = from_json(&message.payload)?;
    schema.validate(&value).map_err(|violations| refused(schema, &violations))
}

fn refused(schema: &dyn Schema, violations: &[Violation]) -> CellError {
    let first = violations.first().map_or_else(String::new, ToString::to_string);
    let more = match violations.len() {
        0 | 1 => String::new(),
        all => format!(" (and {} more)", all - 1),
    };
    let listed: Vec<_> = violations
        .iter()
        .map(|found| json!({ "path": found.path, "message": found.message }))
        .collect();
    CellError::bad_request(format!("{first}{more}, by the schema {}", schema.name()))
        .with_details(json!({ "schema": schema.name(), "violations": listed }))
}

/// True for `application/json` and `…+json`, with any parameters.
pub(crate) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split_once(';').map_or(content_type, |(kind, _)| kind).trim();
    kind.eq_ignore_ascii_case("application/json")
        || kind
            .get(kind.len().saturating_sub(5)..)
            .is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}
