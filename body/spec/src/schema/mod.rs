//! Schemas: the form that payloads must have.

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

    /// The texts of the schema's file and of the files it refers to, by name. Another program needs
    /// nothing else to compile the schema.
    #[must_use]
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// True if a value fits. Cheaper than [`validate`](Self::validate) for a value that does not
    /// fit.
    #[must_use]
    pub fn accepts(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// Checks a value.
    ///
    /// # Errors
    /// Returns the violations, each with its path: at least one, at most [`Violation::LIST_MAX`].
    pub fn validate(&self, value: &Value) -> Result<(), Vec<Violation>> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        Err(self
            .validator
            .iter_errors(value)
            .take(Violation::LIST_MAX)
            .map(Violation::from)
            .collect())
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("name", &self.name)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
