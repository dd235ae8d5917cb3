//! Example of an input that a cell accepts, made from the JSON Schema of its input.
//!
//! Plain rules of a schema are followed: types, required fields, `enum`, `const`, `examples`,
//! `default`, bounds, `format`, `$ref`, `allOf`, `anyOf`, `oneOf`. Other rules, such as `pattern`,
//! `not` and `dependentSchemas`, are tried: several values are made, and the first that the schema
//! accepts is the example.

mod merge;
mod scalar;

use std::collections::BTreeMap;

use model::Schema;
use serde_json::{Map, Value, json};

use self::merge::merged;

/// Limit of the number of values that are made for one part of a schema.
const CANDIDATES_MAX: usize = 24;
/// Limit of the depth to which a schema is followed: it may refer to itself.
const DEPTH_MAX: usize = 12;
/// Limit of the number of parts of a schema that are read, because a person waits.
const PARTS_MAX: usize = 5_000;
/// Limit of the length of an array that is made.
const ITEMS_MAX: u64 = 64;

/// Returns a value that the schema accepts, or `None` if none is found.
pub(super) fn example(schema: &dyn Schema) -> Option<Value> {
    let texts = schema.texts().iter();
    let parsed =
        texts.filter_map(|(name, text)| Some((name.as_str(), serde_json::from_str(text).ok()?)));
    let mut maker = Maker { documents: parsed.collect(), parts: PARTS_MAX };
    let root = maker.documents.get(schema.name())?.clone();
    let at = At { document: schema.name(), field: "", depth: 0 };
    maker.candidates(&root, at).into_iter().find(|value| schema.accepts(value))
}

struct Maker<'a> {
    /// The schema and those that it refers to, by name.
    documents: BTreeMap<&'a str, Value>,
    /// Number of parts that may still be read.
    parts: usize,
}

/// Position of a part in the schemas.
#[derive(Clone, Copy)]
struct At<'a> {
    /// Document that a `$ref` is relative to.
    document: &'a str,
    /// Field that the value is for; empty if there is none.
    field: &'a str,
    depth: usize,
}

impl<'a> At<'a> {
    fn below(self, field: &'a str) -> Self {
        Self { field, depth: self.depth + 1, ..self }
    }
}

impl Maker<'_> {
    /// Returns values for a part of a schema, the most useful first. Empty if no value fits.
    fn candidates(&mut self, schema: &Value, at: At<'_>) -> Vec<Value> {
        if at.depth > DEPTH_MAX || self.parts == 0 {
            return Vec::new();
        }
        let Value::Object(schema) = schema else {
            // `true` accepts everything, `false` nothing.
            return if schema == &Value::Bool(true) { vec![anything(at)] } else { Vec::new() };
        };
        let mut found = Vec::new();
        for (simple, document) in self.simple(schema, at) {
            found.extend(given(&simple));
            if !simple.contains_key("const") && !simple.contains_key("enum") {
                found.extend(self.of_types(&simple, At { document: &document, ..at }));
            }
        }
        found.truncate(CANDIDATES_MAX);
        found
    }

    /// Returns schemas without references and alternatives that together stand for this one, each
    /// with its document.
    fn simple(
        &mut self,
        schema: &Map<String, Value>,
        at: At<'_>,
    ) -> Vec<(Map<String, Value>, String)> {
        let mut open = vec![(schema.clone(), at.document.to_owned(), 0)];
        let mut simple = Vec::new();
        while let Some((mut schema, document, steps)) = open.pop() {
            if simple.len() >= CANDIDATES_MAX || steps > DEPTH_MAX || self.parts == 0 {
                break;
            }
            self.parts -= 1;
            if let Some(to) = schema.remove("$ref").or_else(|| schema.remove("$dynamicRef")) {
                let Some((part, document)) =
                    to.as_str().and_then(|to| self.referred(to, &document))
                else {
                    continue;
                };
                open.extend(merged(&schema, &part).map(|schema| (schema, document, steps + 1)));
            } else if let Some(all) = schema.remove("allOf") {
                let all = all.as_array().cloned().unwrap_or_default();
                let whole = all.iter().try_fold(schema, |whole, part| merged(&whole, part));
                open.extend(whole.map(|schema| (schema, document, steps + 1)));
            } else if let Some(ways) =
                ["anyOf", "oneOf"].iter().find_map(|word| schema.remove(*word))
            {
                // The last one is taken first.
                let ways = ways.as_array().cloned().unwrap_or_default();
                let ways = ways.iter().rev().filter_map(|way| merged(&schema, way));
                open.extend(ways.map(|schema| (schema, document.clone(), steps + 1)));
            } else if schema.remove("if").is_some() {
                let ways = [schema.remove("else"), schema.remove("then")].into_iter().flatten();
                let ways: Vec<_> = ways.filter_map(|way| merged(&schema, &way)).collect();
                open.extend(
                    [schema]
                        .into_iter()
                        .chain(ways)
                        .map(|schema| (schema, document.clone(), steps + 1)),
                );
            } else {
                simple.push((schema, document));
            }
        }
        simple
    }

    /// Returns the part that a `$ref` names, and its document.
    fn referred(&self, to: &str, document: &str) -> Option<(Value, String)> {
        let (file, part) = to.split_once('#').unwrap_or((to, ""));
        let document = if file.is_empty() { document.to_owned() } else { beside(document, file)? };
        let whole = self.documents.get(document.as_str())?;
        let part = percent_encoding::percent_decode_str(part).decode_utf8().ok()?;
        Some((whole.pointer(&part)?.clone(), document))
    }

    fn of_types(&mut self, schema: &Map<String, Value>, at: At<'_>) -> Vec<Value> {
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => implied(schema),
        };
        if types.is_empty() {
            return vec![
                anything(at),
                json!({}),
                json!("hello"),
                json!(1),
                json!([]),
                json!(true),
                Value::Null,
            ];
        }
        let mut found = Vec::new();
        // `null` is the least useful example, so it comes last.
        for kind in types
            .iter()
            .filter(|kind| **kind != "null")
            .chain(types.iter().filter(|kind| **kind == "null"))
        {
            match *kind {
                "object" => found.extend(self.objects(schema, at)),
                "array" => found.extend(self.arrays(schema, at)),
                "string" => found.extend(scalar::strings(schema, at.field)),
                "integer" => found.extend(scalar::integers(schema)),
                "number" => found.extend(scalar::numbers(schema)),
                "boolean" => found.extend([json!(true), json!(false)]),
                _ => found.push(Value::Null),
            }
        }
        found
    }

    /// Returns objects with the required fields (with the first field if none is required), then
    /// with only the required ones, then with all.
    fn objects(&mut self, schema: &Map<String, Value>, at: At<'_>) -> Vec<Value> {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required: Vec<&str> = words(schema.get("required")).collect();
        let optional: Vec<&str> =
            properties.keys().map(String::as_str).filter(|name| !required.contains(name)).collect();
        let first = usize::from(required.is_empty());
        let mut found = Vec::new();
        for more in [first, 0, optional.len()] {
            let names: Vec<&str> =
                required.iter().chain(optional.iter().take(more)).copied().collect();
            found.extend(self.object(schema, properties, (&names, required.len()), at));
        }
        found.dedup();
        found
    }

    /// Returns objects with these fields, of which the first `required` ones must be there. The
    /// first object has the first value of each field; the others differ in one field.
    fn object(
        &mut self,
        schema: &Map<String, Value>,
        properties: &Map<String, Value>,
        (names, required): (&[&str], usize),
        at: At<'_>,
    ) -> Vec<Value> {
        let mut fields = Map::new();
        let mut others = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let part = properties.get(*name).or_else(|| schema.get("additionalProperties"));
            let mut values =
                self.candidates(part.unwrap_or(&json!(true)), at.below(name)).into_iter();
            match values.next() {
                Some(value) => _ = fields.insert((*name).to_owned(), value),
                None if index < required => return Vec::new(),
                None => {}
            }
            others.extend(values.map(|value| (*name, value)));
        }
        for name in dependents(schema, &fields) {
            let part = properties.get(&name).unwrap_or(&json!(true)).clone();
            fields.extend(
                self.candidates(&part, at.below(&name))
                    .into_iter()
                    .next()
                    .map(|value| (name.clone(), value)),
            );
        }
        self.fill(schema, properties, &mut fields, at);
        let different = |(name, value): (&str, Value)| {
            let mut object = fields.clone();
            object.insert(name.to_owned(), value);
            Value::Object(object)
        };
        let others: Vec<_> = others.into_iter().take(CANDIDATES_MAX).map(different).collect();
        std::iter::once(Value::Object(fields)).chain(others).collect()
    }

    /// Adds fields until the object has the least number of them.
    fn fill(
        &mut self,
        schema: &Map<String, Value>,
        properties: &Map<String, Value>,
        fields: &mut Map<String, Value>,
        at: At<'_>,
    ) {
        let least = schema.get("minProperties").and_then(Value::as_u64).unwrap_or(0).min(ITEMS_MAX);
        let other = schema.get("additionalProperties").cloned().unwrap_or(json!(true));
        let made = (1..=ITEMS_MAX).map(|number| (format!("field{number}"), other.clone()));
        for (name, part) in
            properties.iter().map(|(name, part)| (name.clone(), part.clone())).chain(made)
        {
            if fields.len() as u64 >= least {
                return;
            }
            if !fields.contains_key(&name) {
                let value = self.candidates(&part, at.below(&name)).into_iter().next();
                fields.extend(value.map(|value| (name, value)));
            }
        }
    }

    fn arrays(&mut self, schema: &Map<String, Value>, at: At<'_>) -> Vec<Value> {
        let bound = |word: &str| schema.get(word).and_then(Value::as_u64);
        let least = bound("minItems").unwrap_or(0).min(ITEMS_MAX);
        let most = bound("maxItems").unwrap_or(u64::MAX);
        let places =
            schema.get("prefixItems").and_then(Value::as_array).cloned().unwrap_or_default();
        let items = schema.get("items").cloned();
        let wanted = least.max(u64::from(items.is_some())).max(places.len() as u64).min(most);
        let contained =
            schema.get("contains").map(|part| self.candidates(part, at.below(at.field)));
        let usual = self.candidates(&items.unwrap_or(json!(true)), at.below(at.field));
        let is_unique = schema.get("uniqueItems") == Some(&json!(true));
        let mut array: Vec<Value> = Vec::new();
        for index in 0..usize::try_from(wanted).unwrap_or_default() {
            let own = places.get(index).map(|part| self.candidates(part, at.below(at.field)));
            let contained = contained.clone().filter(|_| index == places.len());
            let values = own.or(contained).unwrap_or_else(|| usual.clone());
            let fresh = values.iter().find(|value| !is_unique || !array.contains(value)).cloned();
            // Makes another value of the same kind if all of them are there already.
            let fresh =
                fresh.or_else(|| values.first().and_then(|value| scalar::another(value, index)));
            array.extend(fresh);
        }
        let contained = contained.unwrap_or_default().into_iter().map(|value| json!([value]));
        [Value::Array(array)]
            .into_iter()
            .chain(contained)
            .chain((least == 0).then(|| json!([])))
            .collect()
    }
}

/// Returns the strings in an array.
fn words(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Returns the values that the schema's author gives: examples come before a default.
fn given(schema: &Map<String, Value>) -> Vec<Value> {
    let several =
        |word: &str| schema.get(word).and_then(Value::as_array).cloned().unwrap_or_default();
    let one = |word: &str| schema.get(word).cloned();
    let examples = several("examples").into_iter().chain(one("default"));
    examples.chain(one("const")).chain(several("enum")).collect()
}

/// Returns a value for a part that accepts everything.
fn anything(at: At<'_>) -> Value {
    if at.depth == 0 { json!({}) } else { json!(scalar::word(at.field)) }
}

/// Returns the types that a schema implies without naming them.
fn implied(schema: &Map<String, Value>) -> Vec<&'static str> {
    let of: &[(&str, &[&str])] = &[
        (
            "object",
            &[
                "properties",
                "required",
                "additionalProperties",
                "minProperties",
                "patternProperties",
            ],
        ),
        ("array", &["items", "prefixItems", "minItems", "contains", "uniqueItems"]),
        ("string", &["minLength", "maxLength", "pattern", "format"]),
        ("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
    ];
    let speaks = |words: &[&str]| words.iter().any(|word| schema.contains_key(*word));
    of.iter().filter(|(_, words)| speaks(words)).map(|(kind, _)| *kind).collect()
}

/// Returns the missing fields that are required because other fields are there.
fn dependents(schema: &Map<String, Value>, fields: &Map<String, Value>) -> Vec<String> {
    let rules = schema.get("dependentRequired").and_then(Value::as_object).into_iter().flatten();
    let names = rules
        .filter(|(name, _)| fields.contains_key(*name))
        .flat_map(|(_, names)| words(Some(names)));
    names.filter(|name| !fields.contains_key(*name)).map(str::to_owned).collect()
}

/// Returns the name of a schema that another one refers to: from `demo/v1/Greeting`, `Name.json` is
/// `demo/v1/Name`.
fn beside(document: &str, file: &str) -> Option<String> {
    let file = file.strip_suffix(".json")?;
    let mut folders: Vec<&str> = document.split('/').collect();
    folders.pop();
    for part in file.split('/') {
        match part {
            "." => {}
            ".." => _ = folders.pop()?,
            name => folders.push(name),
        }
    }
    Some(folders.join("/"))
}

#[cfg(test)]
#[path = "example_tests.rs"]
mod tests;
