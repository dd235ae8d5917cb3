//! Violations: the places of a value that do not fit a schema.

use jsonschema::{ValidationError, error::ValidationErrorKind};
use model::Violation;

use crate::render::start_of;

/// Limit of the characters of a message or path. Both may hold names as long as a payload.
const MESSAGE_CHARS_MAX: usize = 200;

/// Describes an error of the validator.
pub(super) fn violation(error: &ValidationError<'_>) -> Violation {
    let (field, message) = match error.kind() {
        ValidationErrorKind::Required { property } => (property.as_str(), "is missing".to_owned()),
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
    Violation { path: short(&path), message: short(&message) }
}

pub(super) fn short(text: &str) -> String {
    start_of(text, MESSAGE_CHARS_MAX)
}
