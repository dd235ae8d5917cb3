//! Schemas: the form that payloads must have.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::Value;

/// A schema of payloads, compiled.
///
/// The crate that reads specs implements it with a validator of JSON Schema. Hosts only check
/// payloads, so they do not depend on that validator.
pub trait Schema: fmt::Debug + Send + Sync {
    /// The name, for example `demo/v1/Name`.
    fn name(&self) -> &str;

    /// Hash of the schema's file and of those it refers to, 12 hexadecimal digits.
    fn hash(&self) -> &str;

    /// The texts of the schema's file and of the files it refers to, by name. Another program needs
    /// nothing else to compile the schema.
    fn texts(&self) -> &BTreeMap<String, String>;

    /// True if a value fits. Cheaper than [`validate`](Self::validate) for a value that does not
    /// fit.
    fn accepts(&self, value: &Value) -> bool {
        self.validate(value).is_ok()
    }

    /// Checks a value.
    ///
    /// # Errors
    /// Returns the violations, each with its path: at least one, at most [`Violation::LIST_MAX`].
    fn validate(&self, value: &Value) -> Result<(), Vec<Violation>>;
}

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

impl fmt::Display for Violation {
    /// Writes for example `/name: is missing`. The whole value is called `value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "value" } else { &self.path };
        write!(f, "{path}: {}", self.message)
    }
}
