//! Merge of two schemas that both apply.

use serde_json::{Map, Value};

/// Returns one schema with the rules of both, or `None` if no value fits both. Rules that cannot be
/// merged keep the first schema's form; the values are checked later.
pub(super) fn merged(one: &Map<String, Value>, other: &Value) -> Option<Map<String, Value>> {
    let other = match other {
        Value::Bool(true) => return Some(one.clone()),
        Value::Object(other) => other,
        _ => return None,
    };
    let mut whole = one.clone();
    for (word, theirs) in other {
        let Some(ours) = whole.get(word) else {
            whole.insert(word.clone(), theirs.clone());
            continue;
        };
        let both = match word.as_str() {
            "properties" => properties(ours, theirs),
            "required" | "examples" => union(ours, theirs),
            "allOf" => union(ours, theirs),
            // One alternative of each must apply: the second set goes into `allOf`.
            "anyOf" | "oneOf" => {
                let more = Value::Object(Map::from_iter([(word.clone(), theirs.clone())]));
                let all = whole.get("allOf").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
                whole.insert("allOf".to_owned(), union(&all, &Value::Array(vec![more])));
                continue;
            }
            "type" | "enum" => common(ours, theirs)?,
            "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties" => {
                larger(ours, theirs)
            }
            "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties" => {
                larger(theirs, ours)
            }
            "items" | "additionalProperties" | "contains" => both_of(ours, theirs),
            _ => ours.clone(),
        };
        whole.insert(word.clone(), both);
    }
    Some(whole)
}

fn properties(ours: &Value, theirs: &Value) -> Value {
    let mut all = ours.as_object().cloned().unwrap_or_default();
    for (name, theirs) in theirs.as_object().into_iter().flatten() {
        let both = all.get(name).map_or_else(|| theirs.clone(), |ours| both_of(ours, theirs));
        all.insert(name.clone(), both);
    }
    Value::Object(all)
}

fn both_of(ours: &Value, theirs: &Value) -> Value {
    match ours {
        Value::Bool(true) => theirs.clone(),
        Value::Object(ours) => merged(ours, theirs).map_or(Value::Bool(false), Value::Object),
        _ => Value::Bool(false),
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

fn union(ours: &Value, theirs: &Value) -> Value {
    let mut all = list(ours);
    let more: Vec<_> = list(theirs).into_iter().filter(|value| !all.contains(value)).collect();
    all.extend(more);
    Value::Array(all)
}

fn common(ours: &Value, theirs: &Value) -> Option<Value> {
    let theirs = list(theirs);
    // Every integer is a number.
    let fits = |value: &Value| {
        theirs.contains(value) || (value == "integer" && theirs.contains(&"number".into()))
    };
    let mut both: Vec<_> = list(ours).into_iter().filter(fits).collect();
    if both.is_empty()
        && list(ours).contains(&"number".into())
        && theirs.contains(&"integer".into())
    {
        both.push("integer".into());
    }
    (!both.is_empty()).then_some(Value::Array(both))
}

fn larger(ours: &Value, theirs: &Value) -> Value {
    if ours.as_f64() >= theirs.as_f64() { ours.clone() } else { theirs.clone() }
}
