//! JSON Schemas of payloads, compiled.

mod folder;
mod violation;

use std::{collections::BTreeMap, fmt};

use jsonschema::Validator;
use model::{Schema, Violation};
use serde_json::Value;

pub(crate) use folder::{NAME_PATTERN, Schemas};
use violation::violation;

/// A JSON Schema, compiled.
///
/// `format` is an annotation, as JSON Schema 2020-12 has it: it is not checked.
pub(crate) struct CompiledSchema {
    name: String,
    hash: String,
    validator: Validator,
    texts: BTreeMap<String, String>,
}

impl Schema for CompiledSchema {
    fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    fn accepts(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    fn validate(&self, value: &Value) -> Result<(), Vec<Violation>> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let errors = self.validator.iter_errors(value).take(Violation::LIST_MAX);
        Err(errors.map(|error| violation(&error)).collect())
    }
}

impl fmt::Debug for CompiledSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledSchema")
            .field("name", &self.name)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
