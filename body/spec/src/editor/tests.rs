//! The editors' schema and the reader must say the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::editor_schema;
use crate::{Options, load_texts, read::shape::SHAPES};

const CHECKED_IN: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/schemas/cbs/v1alpha1/spec.json");

#[test]
fn the_checked_in_schema_is_fresh() {
    let fresh = editor_schema();
    if std::env::var_os("CBS_BLESS").is_some() {
        std::fs::write(CHECKED_IN, format!("{fresh:#}\n")).unwrap();
    }
    // Compared as values: the order of keys depends on the features serde_json is built with.
    let checked_in = std::fs::read_to_string(CHECKED_IN).unwrap_or_default();
    let checked_in: Value = serde_json::from_str(&checked_in).unwrap_or_default();
    assert!(
        checked_in == fresh,
        "spec.json is stale: `CBS_BLESS=1 cargo test -p spec` writes it anew"
    );
}

#[test]
fn every_field_of_the_reader_is_in_the_schema_and_the_other_way_around() {
    let schema = editor_schema();
    for (definition, shape) in SHAPES {
        let definition = &schema["definitions"][definition];
        let in_schema: BTreeSet<&str> =
            definition["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(in_schema, shape.fields.iter().copied().collect(), "{}", shape.what);
        assert_eq!(definition["additionalProperties"], json!(false), "{}", shape.what);
    }
    let maps = schema["definitions"].as_object().unwrap().iter();
    let maps: BTreeSet<&str> = maps
        .filter(|(_, map)| map["properties"].is_object())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        maps,
        SHAPES.iter().map(|(name, _)| *name).collect(),
        "a map of the schema that no shape stands for"
    );
}

#[test]
fn every_field_is_explained() {
    let schema = editor_schema();
    for (name, definition) in schema["definitions"].as_object().unwrap() {
        assert!(definition["description"].is_string(), "{name}");
        for (field, property) in definition["properties"].as_object().into_iter().flatten() {
            let constant = property["const"].is_string();
            assert!(constant || property["description"].is_string(), "{name}.{field}");
        }
    }
}

/// A document of `base` with the JSON Pointer `path` set to `value`; `undefined` takes it out.
fn altered(base: &Value, path: &str, value: Option<Value>) -> Value {
    let mut document = base.clone();
    let (parent, key) = path.rsplit_once('/').unwrap();
    match (document.pointer_mut(parent).unwrap(), value) {
        (Value::Object(map), Some(value)) => drop(map.insert(key.to_owned(), value)),
        (Value::Object(map), None) => drop(map.remove(key).unwrap()),
        (parent, _) => panic!("{parent} is no map"),
    }
    document
}

fn cell(spec: &Value) -> Value {
    json!({ "apiVersion": "cbs/v1alpha1", "kind": "Cell", "metadata": { "name": "shop.price" }, "spec": spec })
}

fn flow(spec: &Value) -> Value {
    json!({ "apiVersion": "cbs/v1alpha1", "kind": "Flow", "metadata": { "name": "order" }, "spec": spec })
}

/// Returns two results: true if the reader accepts a document, and true if the schema does.
fn judged(folder: &std::path::Path, document: &Value) -> (bool, bool) {
    let options = Options {
        allow_remote: true,
        embedded_schemas: &[("demo/v1/Name", "{}")],
        ..Options::default()
    };
    // JSON is YAML.
    let read = load_texts([(folder.join("spec.yaml"), document.to_string().as_str())], &options);
    let validator = jsonschema::validator_for(&editor_schema()).unwrap();
    (read.is_ok(), validator.is_valid(document))
}

fn judge_all(cases: impl IntoIterator<Item = (bool, Value)>) {
    let folder = tempfile::tempdir().unwrap();
    for file in ["greet.py", "main.dart", "run.sh"] {
        std::fs::write(folder.path().join(file), "").unwrap();
    }
    let folder = folder.path();
    for (expected, document) in cases {
        assert_eq!(
            judged(folder, &document),
            (expected, expected),
            "(reader, schema) of {document}"
        );
    }
}

#[test]
fn both_judge_the_four_parts_alike() {
    let base = cell(&json!({ "runtime": "rust" }));
    let alter = |path: &str, value| altered(&base, path, value);
    judge_all([
        (true, base.clone()),
        (true, alter("/metadata/description", Some(json!("prices")))),
        (true, alter("/metadata/labels", Some(json!({ "team": "shop" })))),
        (true, alter("/metadata/annotations", Some(json!({})))),
        (false, alter("/metadata/labels", Some(json!({ "team": 7 })))),
        (false, alter("/metadata/labels", Some(json!(["shop"])))),
        (false, alter("/metadata/description", Some(json!(null)))),
        (false, alter("/metadata/name", Some(json!("Shop.Price")))),
        (false, alter("/metadata/name", Some(json!("flow.price")))),
        (false, alter("/metadata/name", Some(json!("price")))),
        (false, alter("/metadata/name", Some(json!(format!("shop.{}", "x".repeat(64)))))),
        (true, alter("/metadata/name", Some(json!(format!("shop.{}", "x".repeat(63)))))),
        (false, alter("/metadata/name", None)),
        (false, alter("/metadata/owner", Some(json!("me")))),
        (false, alter("/kind", Some(json!("Flow")))),
        (false, alter("/kind", Some(json!("Service")))),
        (false, alter("/apiVersion", Some(json!("cbs/v1")))),
        (false, alter("/apiVersion", None)),
        (false, alter("/metadata", None)),
        (false, alter("/spec", None)),
        (false, alter("/spec", Some(json!("rust")))),
        (false, alter("/status", Some(json!({})))),
    ]);
}

#[test]
fn both_judge_a_cells_fields_alike() {
    let rust = cell(&json!({ "runtime": "rust" }));
    let with = |field: &str, value| altered(&rust, &format!("/spec/{field}"), Some(value));
    let mut cases = Vec::new();
    let mut field = |field: &str, good: &[Value], bad: &[Value]| {
        cases.extend(good.iter().map(|value| (true, with(field, value.clone()))));
        cases.extend(bad.iter().map(|value| (false, with(field, value.clone()))));
        cases.push((false, with(field, json!(null))));
    };
    field("runtime", &[json!("rust")], &[json!("go"), json!(["rust"])]);
    field(
        "input",
        &[json!("demo/v1/Name")],
        &[json!("Name"), json!("demo/v0/Name"), json!("../v1/Name"), json!(1)],
    );
    field(
        "output",
        &[json!("demo/v1/Name")],
        &[json!("demo/v1/name"), json!("demo/1/Name"), json!("")],
    );
    field(
        "version",
        &[json!("1.2.3"), json!("1.0.0-rc.1+5")],
        &[json!("1.0"), json!(1.0), json!("v1.0.0"), json!("01.0.0")],
    );
    field(
        "concurrency",
        &[json!(1), json!(1_000_000)],
        &[json!(0), json!(1_000_001), json!(1.5), json!("8"), json!(-1)],
    );
    field("queue", &[json!(0)], &[json!(-1), json!(1_000_001)]);
    field(
        "timeout",
        &[
            json!("1ms"),
            json!("250ms"),
            json!("1.5s"),
            json!("1m30s"),
            json!("24h"),
            json!("1d"),
            json!("1h0m0s"),
        ],
        &[
            json!(5),
            json!("5"),
            json!("5 s"),
            json!("1.5"),
            json!("1s1m"),
            json!(".5s"),
            json!("-1s"),
            json!(""),
            json!("05s"),
        ],
    );
    field("idempotent", &[json!(true)], &[json!("yes"), json!(1)]);
    field(
        "retry",
        &[json!({ "max": 3 }), json!({ "max": 1, "backoff": "10ms", "max_backoff": "1s" })],
        &[
            json!(3),
            json!({}),
            json!({ "max": 0 }),
            json!({ "max": 101 }),
            json!({ "max": 1, "backof": "1s" }),
            json!({ "backoff": "1s" }),
        ],
    );
    field("route", &[json!("nats"), json!("local-first")], &[json!("local"), json!(true)]);
    field("config", &[json!({}), json!({ "a": { "b": [1, null] } })], &[json!([]), json!("a")]);
    judge_all(cases);
}

#[test]
fn both_judge_where_a_flow_runs_alike() {
    let base = flow(&json!({ "steps": [{ "id": "price", "call": "shop.price" }] }));
    let mut cases = Vec::new();
    let mut field = |field: &str, good: &[Value], bad: &[Value]| {
        let with = |value: &Value| altered(&base, &format!("/spec/{field}"), Some(value.clone()));
        cases.extend(good.iter().map(|value| (true, with(value))));
        cases.extend(bad.iter().map(|value| (false, with(value))));
    };
    field("replicas", &[json!(1), json!("all")], &[json!(0), json!("2")]);
    field("spread", &[json!("zone")], &[json!("")]);
    field("place", &[json!({ "zone": "a" })], &[json!({ "zone": 1 })]);
    field("enabled", &[json!(false)], &[json!("no")]);
    field("rollout", &[], &[json!({ "strategy": "recreate" })]);
    judge_all(cases);
}

#[test]
fn both_judge_where_a_cell_runs_alike() {
    let rust = cell(&json!({ "runtime": "rust" }));
    let with = |field: &str, value| altered(&rust, &format!("/spec/{field}"), Some(value));
    let mut cases = Vec::new();
    let mut field = |field: &str, good: &[Value], bad: &[Value]| {
        cases.extend(good.iter().map(|value| (true, with(field, value.clone()))));
        cases.extend(bad.iter().map(|value| (false, with(field, value.clone()))));
        cases.push((false, with(field, json!(null))));
    };
    let long = "x".repeat(64);
    field(
        "replicas",
        &[json!(1), json!(1000), json!("all")],
        &[json!(0), json!(1001), json!("2"), json!(1.5), json!("each")],
    );
    field("spread", &[json!("zone")], &[json!(""), json!(1), json!(long)]);
    field(
        "place",
        &[json!({}), json!({ "zone": "a" })],
        &[
            json!({ "zone": 1 }),
            json!({ "zone": "" }),
            json!({ "": "a" }),
            json!({ "zone": long }),
            json!(["zone"]),
        ],
    );
    field("enabled", &[json!(false), json!(true)], &[json!("no"), json!(0)]);
    field(
        "rollout",
        &[
            json!({ "strategy": "recreate" }),
            json!({ "strategy": "rolling" }),
            json!({ "canary": { "share": "10%" } }),
            json!({ "canary": { "share": "99%", "calls": 100, "after": "10s", "errors": "0%", "slower": "150%" } }),
        ],
        &[
            json!("recreate"),
            json!({}),
            json!({ "strategy": "blue" }),
            json!({ "strategy": "recreate", "canary": { "share": "10%" } }),
            json!({ "canary": {} }),
            json!({ "canary": { "share": 10 } }),
            json!({ "canary": { "share": "0%" } }),
            json!({ "canary": { "share": "100%" } }),
            json!({ "canary": { "share": "10%", "calls": 0 } }),
            json!({ "canary": { "share": "10%", "after": 10 } }),
            json!({ "canary": { "share": "10%", "errors": "1" } }),
        ],
    );
    judge_all(cases);
}

#[test]
fn both_judge_runtimes_alike() {
    let python = |more: Value| {
        let mut spec = json!({ "runtime": "python", "source": "greet.py:greet" });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        cell(&spec)
    };
    let of = |runtime: &str, mut more: Value| {
        more["runtime"] = json!(runtime);
        cell(&more)
    };
    judge_all([
        (true, python(json!({}))),
        (true, python(json!({ "isolation": "process", "env": { "LANG": "C" }, "workers": 2 }))),
        (true, python(json!({ "workers": { "min": 1, "max": 4 } }))),
        (false, python(json!({ "env": { "LANG": "C" } }))),
        (false, python(json!({ "env": {}, "isolation": "shared" }))),
        (false, python(json!({ "isolation": "process", "env": { "1A": "C" } }))),
        (false, python(json!({ "isolation": "process", "env": { "PORT": 80 } }))),
        (false, python(json!({ "isolation": "thread" }))),
        (false, python(json!({ "workers": 0 }))),
        (false, python(json!({ "workers": { "min": 1 } }))),
        (false, python(json!({ "workers": "all" }))),
        (false, python(json!({ "source": "greet.py" }))),
        (false, python(json!({ "source": "greet.py:2" }))),
        (false, python(json!({ "command": ["python"] }))),
        (false, python(json!({ "limits": {} }))),
        (false, of("python", json!({}))),
        (false, of("rust", json!({ "source": "greet.py:greet" }))),
        (false, of("rust", json!({ "command": ["./run.sh"] }))),
        (false, of("rust", json!({ "workers": 1 }))),
        (
            true,
            of(
                "dart",
                json!({ "source": "main.dart", "instances": 2, "limits": { "memory": "64MiB", "files": 64 } }),
            ),
        ),
        (true, of("dart", json!({ "command": ["./run.sh", "-v"], "env": { "A": "b" } }))),
        (false, of("dart", json!({}))),
        (false, of("dart", json!({ "source": "main.dart", "command": ["./run.sh"] }))),
        (false, of("dart", json!({ "source": "main.dart", "isolation": "process" }))),
        (true, of("exec", json!({ "command": ["./run.sh"] }))),
        (false, of("exec", json!({}))),
        (false, of("exec", json!({ "command": [] }))),
        (false, of("exec", json!({ "command": "./run.sh" }))),
        (false, of("exec", json!({ "command": ["./run.sh", 1] }))),
        (false, of("exec", json!({ "command": ["./run.sh"], "source": "main.dart" }))),
        (false, of("exec", json!({ "command": ["./run.sh"], "instances": 0 }))),
        (false, of("exec", json!({ "command": ["./run.sh"], "limits": { "memory": 64 } }))),
        (false, of("exec", json!({ "command": ["./run.sh"], "limits": { "memory": "64Mi" } }))),
        (false, of("exec", json!({ "command": ["./run.sh"], "limits": { "files": 1 } }))),
        (false, of("exec", json!({ "command": ["./run.sh"], "limits": { "cpu": 1 } }))),
    ]);
}

fn steps(count: usize) -> Value {
    (0..count).map(|index| json!({ "id": format!("s{index}"), "call": "shop.price" })).collect()
}

#[test]
fn both_judge_flows_alike() {
    let base = flow(&json!({ "steps": [{ "id": "price", "call": "shop.price" }] }));
    let step = |field: &str, value: Value| {
        let mut document = base.clone();
        document["spec"]["steps"][0][field] = value;
        document
    };
    let alone = |step: Value| flow(&json!({ "steps": [step] }));
    let mut cases = vec![
        (true, base.clone()),
        (true, altered(&base, "/spec/output", Some(json!(null)))),
        (true, altered(&base, "/spec/output", Some(json!({ "sum": "${ .steps.price }" })))),
        (true, altered(&base, "/spec/timeout", Some(json!("1m")))),
        (false, altered(&base, "/spec/timeout", Some(json!(60)))),
        (false, altered(&base, "/spec/steps", Some(json!([])))),
        (false, altered(&base, "/spec/steps", Some(json!({})))),
        (false, altered(&base, "/spec/steps", Some(steps(1_001)))),
        (true, altered(&base, "/spec/steps", Some(steps(1_000)))),
        (false, altered(&base, "/spec/steps", None)),
        (false, altered(&base, "/spec/input", Some(json!("demo/v1/Name")))),
        (false, altered(&base, "/metadata/name", Some(json!("shop.order")))),
        (true, alone(json!({ "id": "a", "flow": "ship", "external": true }))),
        (false, alone(json!({ "id": "a" }))),
        (false, alone(json!({ "call": "shop.price" }))),
        (false, alone(json!("shop.price"))),
        (false, alone(json!({ "id": "a", "call": "shop.price", "flow": "ship" }))),
    ];
    let mut field = |field: &str, good: &[Value], bad: &[Value]| {
        cases.extend(good.iter().map(|value| (true, step(field, value.clone()))));
        cases.extend(bad.iter().map(|value| (false, step(field, value.clone()))));
    };
    field("id", &[json!("a-b_1")], &[json!("A"), json!(""), json!(1), json!("a".repeat(64))]);
    field("call", &[json!("a.b")], &[json!("a"), json!("flow.a"), json!(null)]);
    field("with", &[json!(null), json!(1), json!(["${ .input }"])], &[]);
    field("when", &[json!("${ .input.wanted }"), json!(true)], &[json!(1), json!(null), json!([])]);
    field(
        "each",
        &[json!("${ .input }"), json!([1, 2]), json!({ "items": [1], "parallel": 2 })],
        &[
            json!(3),
            json!(null),
            json!({}),
            json!({ "items": 3 }),
            json!({ "items": [], "parallel": 0 }),
            json!({ "items": [], "size": 1 }),
        ],
    );
    field("needs", &[json!([])], &[json!("price"), json!([1]), json!(null)]);
    field("retry", &[json!({ "max": 2, "backoff": "1s" })], &[json!(true), json!({ "max": "2" })]);
    field("timeout", &[json!("1s")], &[json!("1"), json!(null)]);
    field("external", &[json!(false)], &[json!("no")]);
    field(
        "catch",
        &[
            json!({ "call": "shop.guess", "with": "${ .error }", "codes": ["unavailable"], "timeout": "1s" }),
            json!({ "flow": "guess" }),
            json!({ "with": null }),
        ],
        &[
            json!({}),
            json!({ "call": "shop.guess", "flow": "guess" }),
            json!({ "with": 1, "codes": "timeout" }),
            json!({ "with": 1, "retry": 3 }),
            json!(null),
        ],
    );
    field("replicas", &[], &[json!(1)]);
    judge_all(cases);
}
