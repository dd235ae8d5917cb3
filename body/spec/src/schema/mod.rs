//! Schemas: what payloads must look like.

mod folder;
mod violation;

use std::{collections::BTreeMap, fmt};

use jsonschema::Validator;
use serde_json::Value;

pub(crate) use folder::{NAME_PATTERN, Schemas};
pub use violation::Violation;

/// A JSON Schema, compiled.
///
/// `format` is an annotation, as JSON Schema 2020-12 has it: it is not checked.
pub struct Schema {
    name: String,
    hash: String,
    validator: Validator,
    texts: BTreeMap<String, String>,
}

impl Schema {
    /// The name, for example `demo/v1/Name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hash of the schema's file and of those it refers to, 12 hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The text of its file and of those it refers to, by name: all that another program needs
    /// to compile it.
    #[must_use]
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// Whether a value fits: cheaper than [`validate`](Self::validate) where it does not.
    #[must_use]
    pub fn accepts(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// Checks a value.
    ///
    /// # Errors
    /// What does not fit, each with its path; at most [`Violation::LIST_MAX`] of them, never none.
    pub fn validate(&self, value: &Value) -> Result<(), Vec<Violation>> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        Err(self.validator.iter_errors(value).take(Violation::LIST_MAX).map(Violation::from).collect())
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("name", &self.name).field("hash", &self.hash).finish_non_exhaustive()
    }
}
