//! Violations: the places of a value that do not fit a schema.

use std::fmt;

use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde::Serialize;

/// Limit of the characters of a message or path. Both may hold names as long as a payload.
const MESSAGE_CHARS_MAX: usize = 200;

/// One place of a value that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The place, as a JSON Pointer: `/name`; empty for the whole value. A missing or
    /// unexpected field is named as if it were there.
    pub path: String,
    /// Description of the violation, one line.
    pub message: String,
}

impl Violation {
    /// Limit of the violations that are listed for one value.
    pub const LIST_MAX: usize = 20;
}

impl From<ValidationError<'_>> for Violation {
    fn from(error: ValidationError<'_>) -> Self {
        let (field, message) = match error.kind() {
            ValidationErrorKind::Required { property } => {
                (property.as_str(), "is missing".to_owned())
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                (unexpected.first().map(String::as_str), "is not expected".to_owned())
            }
            // The value itself stays out: it is the caller's, and may be all of a large payload.
            _ => (None, error.masked_with("it").to_string()),
        };
        let mut path = error.instance_path().to_string();
        if let Some(field) = field {
            path.push('/');
            path.push_str(&field.replace('~', "~0").replace('/', "~1"));
        }
        Self { path: short(&path), message: short(&message) }
    }
}

pub(super) fn short(text: &str) -> String {
    let cut: String = text
        .chars()
        .take(MESSAGE_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(MESSAGE_CHARS_MAX).is_some() { format!("{cut}…") } else { cut }
}

impl fmt::Display for Violation {
    /// Writes for example `/name: is missing`. The whole value is called `value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "value" } else { &self.path };
        write!(f, "{path}: {}", self.message)
    }
}
