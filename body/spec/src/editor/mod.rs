//! The JSON Schema for editors: types that mirror what the reader accepts, field by field.
//!
//! These types are never read into. They exist so that completion, documentation on hover and
//! squiggles in an editor say what `cbs check` would say; tests hold the two to agree.

mod cell;
mod flow;
mod rules;
#[cfg(test)]
mod tests;

use schemars::{
    JsonSchema,
    generate::{SchemaGenerator, SchemaSettings},
};
use serde_json::{Value, json};

use crate::API_VERSION;

/// The JSON Schema (draft 7, which every editor knows) of one document of a file of specs.
///
/// It is checked in as `specs/schemas/cbs/v1alpha1/spec.json`. What needs more than the document
/// stays with [`load`](crate::load): other specs, schemas, files, expressions, and that a duration
/// is no longer than a day and a size within its bounds.
///
/// ```
/// let schema = spec::editor_schema();
/// assert_eq!(schema["oneOf"].as_array().map(Vec::len), Some(2)); // a Cell or a Flow
/// ```
#[must_use]
pub fn editor_schema() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let kinds = [reference::<cell::Cell>(&mut generator), reference::<flow::Flow>(&mut generator)];
    let mut definitions = Value::Object(generator.take_definitions(true));
    rules::tidy(&mut definitions);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": format!("A spec of CBS, {API_VERSION}"),
        "description": "Generated from body/spec/src/editor; `CBS_BLESS=1 cargo test -p spec` writes it anew.",
        "oneOf": kinds,
        "definitions": definitions,
    })
}

fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// A field whose text must be exactly this.
fn constant(text: &str) -> Value {
    json!({ "type": "string", "const": text })
}
