//! Rules that types cannot express: which fields go together, and that nothing may be `null`.

use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::read::{
    runtime::PYTHON_SOURCE_PATTERN,
    shape::{RUNTIME_FIELDS, RUNTIMES},
};

/// Which fields a cell may and must have, by its runtime.
pub(super) fn of_runtimes(schema: &mut Schema) {
    let rules: Vec<Value> = RUNTIMES
        .iter()
        .map(|runtime| {
            let barred = RUNTIME_FIELDS.iter().filter(|(_, runtimes)| !runtimes.contains(runtime));
            let barred: Map<_, _> = barred.map(|(field, _)| ((*field).to_owned(), Value::Bool(false))).collect();
            json!({
                "if": { "properties": { "runtime": { "const": runtime } }, "required": ["runtime"] },
                "then": { "allOf": [{ "properties": barred }, further(runtime)] },
            })
        })
        .collect();
    schema.insert("allOf".to_owned(), Value::Array(rules));
}

fn further(runtime: &str) -> Value {
    match runtime {
        "python" => json!({
            "required": ["source"],
            "properties": { "source": { "pattern": PYTHON_SOURCE_PATTERN } },
            // The environment belongs to a process: cells in the body's own share its.
            "if": { "properties": { "isolation": { "const": "process" } }, "required": ["isolation"] },
            "else": { "properties": { "env": false } },
        }),
        "dart" => json!({ "oneOf": [{ "required": ["source"] }, { "required": ["command"] }] }),
        "exec" => json!({ "required": ["command"] }),
        _ => json!({}),
    }
}

/// A rollout has a strategy or a canary.
pub(super) fn strategy_or_canary(schema: &mut Schema) {
    schema.insert(
        "oneOf".to_owned(),
        json!([{ "required": ["strategy"] }, { "required": ["canary"] }]),
    );
}

/// A step calls a cell or a flow.
pub(super) fn call_or_flow(schema: &mut Schema) {
    schema.insert("oneOf".to_owned(), json!([{ "required": ["call"] }, { "required": ["flow"] }]));
    optional(schema, "with");
}

/// A fallback calls a cell or a flow, or has a value.
pub(super) fn catch(schema: &mut Schema) {
    let any = json!([{ "required": ["call"] }, { "required": ["flow"] }, { "required": ["with"] }]);
    schema.insert("anyOf".to_owned(), any);
    schema.insert("not".to_owned(), json!({ "required": ["call", "flow"] }));
    optional(schema, "with");
}

/// A flow's `output` may be missing.
pub(super) fn output(schema: &mut Schema) {
    optional(schema, "output");
}

/// A field that may be anything, `null` too, and may be missing: no type says both.
fn optional(schema: &mut Schema, field: &str) {
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name != field);
    }
}

/// `null` is no value of any typed field: the reader takes a field without a value for a slip.
/// Formats such as `uint64` mean nothing to editors.
pub(super) fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(map) => {
            map.values_mut().for_each(tidy);
            map.remove("format");
            for key in ["type", "enum"] {
                if let Some(Value::Array(choices)) = map.get_mut(key) {
                    choices.retain(|choice| {
                        !matches!(choice.as_str(), Some("null")) && !choice.is_null()
                    });
                    if key == "type"
                        && let [only] = choices.as_slice()
                    {
                        let only = only.clone();
                        map.insert(key.to_owned(), only);
                    }
                }
            }
            lone_choice(map);
        }
        _ => {}
    }
}

/// `anyOf: [X, null]` is X.
fn lone_choice(map: &mut Map<String, Value>) {
    if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if choices.len() == 1 {
            let only = map.remove("anyOf").unwrap_or_default();
            map.insert("allOf".to_owned(), only);
        }
    }
}
