//! Tests that the example is accepted, for any schema.

use std::path::Path;

use model::Schema;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::example;

/// Returns a cell's schema from files in a folder: `demo/v1/Input` and others.
fn schema(documents: &[(&str, &Value)]) -> std::sync::Arc<dyn Schema> {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for (name, document) in documents {
        write(&format!("schemas/{name}.json"), &document.to_string());
    }
    write(
        "one.yaml",
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.one }\nspec: { runtime: rust, input: demo/v1/Input }\n",
    );
    let specs = spec::load(&[folder.path().to_owned()], &spec::Options::default()).unwrap();
    specs.cells().next().unwrap().input.clone().unwrap()
}

fn of(document: &Value) -> Option<Value> {
    let schema = schema(&[("demo/v1/Input", document)]);
    example(&*schema).inspect(|value| assert!(schema.accepts(value), "{value} is no {document}"))
}

#[test]
fn what_the_schema_says_is_in_it() {
    for (document, wanted) in [
        (json!({}), json!({})),
        (json!({ "type": "string" }), json!("hello")),
        (json!({ "type": "string", "minLength": 8 }), json!("hellohel")),
        (json!({ "type": ["null", "integer"], "minimum": 7.5 }), json!(9)),
        (json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 }), json!(0.5)),
        (json!({ "type": "integer", "multipleOf": 5, "minimum": 12 }), json!(20)),
        (json!({ "enum": ["red", "green"] }), json!("red")),
        (json!({ "const": { "a": 1 } }), json!({ "a": 1 })),
        (json!({ "type": "string", "default": "d", "examples": ["e"] }), json!("e")),
        (
            json!({ "type": "string", "format": "uuid" }),
            json!("11111111-1111-4111-8111-111111111111"),
        ),
        (
            json!({ "type": "array", "items": { "type": "boolean" }, "minItems": 2 }),
            json!([true, true]),
        ),
        (
            json!({ "type": "array", "items": { "type": "string" }, "minItems": 2, "uniqueItems": true }),
            json!(["hello", "hello2"]),
        ),
        (
            json!({ "properties": { "name": { "type": "string" }, "age": { "type": "integer" } }, "required": ["name"] }),
            json!({ "name": "Ada" }),
        ),
        (
            json!({ "type": "object", "properties": { "name": { "type": "string" } } }),
            json!({ "name": "Ada" }),
        ),
        (
            json!({
                "type": "object", "required": ["order"],
                "properties": { "order": { "$ref": "#/$defs/order" } },
                "$defs": { "order": {
                    "type": "object", "required": ["id", "lines"],
                    "properties": {
                        "id": { "type": "string", "format": "date" },
                        "lines": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/line" } },
                    },
                }, "line": { "type": "object", "properties": { "sku": { "type": "string" } }, "required": ["sku"] } },
            }),
            json!({ "order": { "id": "2026-01-31", "lines": [{ "sku": "hello" }] } }),
        ),
        (
            json!({ "oneOf": [{ "type": "object", "properties": { "a": { "const": 1 } }, "required": ["a"] }, { "type": "null" }] }),
            json!({ "a": 1 }),
        ),
        (
            json!({ "allOf": [{ "required": ["a"] }, { "properties": { "a": { "type": "string", "minLength": 2 } } }] }),
            json!({ "a": "hello" }),
        ),
        (json!({ "type": "string", "pattern": "^[A-Z][0-9]$" }), json!("A1")),
        (
            json!({ "type": "object", "required": ["a"], "properties": { "a": true, "b": true }, "dependentRequired": { "a": ["b"] } }),
            json!({ "a": "hello", "b": "hello" }),
        ),
    ] {
        assert_eq!(of(&document), Some(wanted), "{document}");
    }
}

#[test]
fn where_nothing_is_accepted_there_is_none() {
    for document in [
        json!(false),
        json!({ "type": "integer", "minimum": 2, "maximum": 1 }),
        json!({ "allOf": [{ "type": "string" }, { "type": "integer" }] }),
        // It never ends.
        json!({ "type": "object", "required": ["self"], "properties": { "self": { "$ref": "#" } } }),
        json!({ "type": "string", "pattern": "^odd-[0-9]{17}$" }),
    ] {
        assert_eq!(of(&document), None, "{document}");
    }
}

#[test]
fn other_files_are_followed_and_a_schema_that_refers_to_itself_ends() {
    let input = json!({
        "type": "object", "required": ["whom", "tree"],
        "properties": { "whom": { "$ref": "Name.json" }, "tree": { "$ref": "../../other/v2/Tree.json#/$defs/node" } },
    });
    let name = json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    let tree = json!({ "$defs": { "node": {
        "type": "object", "required": ["label"],
        "properties": { "label": { "type": "string" }, "next": { "$ref": "#/$defs/node" } },
    } } });
    let schema =
        schema(&[("demo/v1/Input", &input), ("demo/v1/Name", &name), ("other/v2/Tree", &tree)]);
    let found = example(&*schema).unwrap();
    assert_eq!(found, json!({ "whom": { "name": "Ada" }, "tree": { "label": "hello" } }));
}

/// Generates schemas of the supported subset that some value fits.
fn any_schema() -> impl Strategy<Value = Value> {
    let strings = (
        0_u32..20,
        0_u32..20,
        prop::option::of(prop::sample::select(vec!["date-time", "email", "uuid"])),
    )
        .prop_map(|(least, more, format)| {
            let mut schema =
                json!({ "type": "string", "minLength": least, "maxLength": least + more });
            if let Some(format) = format {
                schema["format"] = json!(format);
            }
            schema
        });
    let numbers = (any::<bool>(), -1000_i64..1000, 0_i64..100, 1_i64..7).prop_map(|(whole, least, more, step)| {
        let kind = if whole { "integer" } else { "number" };
        json!({ "type": kind, "minimum": least, "maximum": least + more.max(step), "multipleOf": step })
    });
    let given = prop::collection::vec(
        prop_oneof![Just(json!("a")), Just(json!(7)), Just(json!({ "a": [] }))],
        1..4,
    );
    let leaf = prop_oneof![
        strings,
        numbers,
        Just(json!(true)),
        Just(json!({})),
        Just(json!({ "type": "boolean" })),
        Just(json!({ "type": "null" })),
        given.clone().prop_map(|values| json!({ "enum": values })),
        given.clone().prop_map(|values| json!({ "const": values[0] })),
        given.prop_map(|values| json!({ "examples": values })),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let objects = (prop::collection::btree_map("[a-e]", inner.clone(), 0..4), any::<u8>(), any::<bool>()).prop_map(
            |(properties, required, is_open)| {
                let names: Vec<_> = properties.keys().enumerate().filter(|(at, _)| required >> at & 1 == 1).collect();
                let names: Vec<_> = names.into_iter().map(|(_, name)| name.clone()).collect();
                json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": is_open })
            },
        );
        let arrays = (inner.clone(), 0_u32..3, 0_u32..3).prop_map(
            |(items, least, more)| json!({ "type": "array", "items": items, "minItems": least, "maxItems": least + more }),
        );
        let referred = inner.clone().prop_map(|part| json!({ "$ref": "#/$defs/part", "$defs": { "part": part } }));
        let ways = prop::collection::vec(inner.clone(), 1..4).prop_map(|ways| json!({ "anyOf": ways }));
        prop_oneof![objects, arrays, ways, inner.prop_map(|part| json!({ "allOf": [part] })), referred]
    })
    .prop_map(|schema| {
        // A `$ref` leads from the root.
        let mut parts = serde_json::Map::new();
        let schema = lifted(schema, &mut parts);
        match schema {
            Value::Object(mut root) => {
                root.insert("$defs".to_owned(), Value::Object(parts));
                Value::Object(root)
            }
            other => other,
        }
    })
}

/// Returns the schema with its `$defs` at the root, under unique names.
fn lifted(schema: Value, parts: &mut serde_json::Map<String, Value>) -> Value {
    match schema {
        Value::Object(mut object) => {
            if object.contains_key("$ref")
                && let Some(Value::Object(mut own)) = object.remove("$defs")
            {
                let part = own.remove("part").map(|part| lifted(part, parts)).unwrap_or_default();
                let name = format!("part{}", parts.len());
                parts.insert(name.clone(), part);
                return json!({ "$ref": format!("#/$defs/{name}") });
            }
            Value::Object(
                object.into_iter().map(|(word, part)| (word, lifted(part, parts))).collect(),
            )
        }
        Value::Array(all) => all.into_iter().map(|part| lifted(part, parts)).collect(),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_schema_of_the_supported_subset_has_an_example_that_it_accepts(document in any_schema()) {
        prop_assert!(of(&document).is_some(), "{document}");
    }
}
