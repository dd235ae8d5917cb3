//! Schemas of payloads.

use std::{fs, path::Path, sync::Arc};

use model::{Schema, Violation};
use serde_json::json;
use spec::Options;

use crate::support::{cell, diagnostics, places};

const NAME: &str = r#"{ "type": "object", "properties": { "name": { "type": "string", "minLength": 1 } }, "required": ["name"] }"#;

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn input(root: &Path, options: &Options) -> Result<Arc<dyn Schema>, Vec<spec::Diagnostic>> {
    let yaml = cell("  input: demo/v1/Name");
    let loaded = spec::load_texts([(root.join("specs/cells/a.yaml"), yaml.as_str())], options);
    match loaded {
        Ok(specs) => Ok(Arc::clone(specs.cells().next().unwrap().input.as_ref().unwrap())),
        Err(error) => Err(diagnostics(Err(error))),
    }
}

#[test]
fn the_nearest_folder_of_schemas_above_the_spec_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(root, "schemas/demo/v1/Name.json", "false");
    write(root, "specs/schemas/demo/v1/Name.json", NAME);
    write(root, "other/demo/v1/Name.json", "false");
    let options = Options::default();
    let schema = input(root, &options).unwrap();
    assert_eq!(schema.name(), "demo/v1/Name");
    assert!(schema.accepts(&json!({ "name": "Ada" })));
    let chosen = Options { schemas: Some(root.join("other")), ..options };
    assert!(!input(root, &chosen).unwrap().accepts(&json!({ "name": "Ada" })));
}

#[test]
fn embedded_schemas_are_taken_where_the_folder_has_none() {
    let root = tempfile::tempdir().unwrap();
    let options = Options { embedded_schemas: &[("demo/v1/Name", "true")], ..Options::default() };
    assert!(input(root.path(), &options).unwrap().accepts(&json!(1)));
    write(root.path(), "schemas/demo/v1/Name.json", NAME);
    assert!(!input(root.path(), &options).unwrap().accepts(&json!(1)));
}

#[test]
fn what_does_not_fit_is_told_with_its_path() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "schemas/demo/v1/Name.json",
        r#"{ "properties": { "a": { "items": { "required": ["x/y"], "additionalProperties": false, "properties": { "x/y": { "type": "string" } } } } } }"#,
    );
    let schema = input(root.path(), &Options::default()).unwrap();
    assert_eq!(schema.validate(&json!({ "a": [{ "x/y": "" }] })), Ok(()));
    let violations =
        schema.validate(&json!({ "a": [{ "x/y": 1 }, {}, { "x/y": "", "z": 1 }] })).unwrap_err();
    let shown: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "/a/0/x~1y: it is not of type \"string\"",
            "/a/1/x~1y: is missing",
            "/a/2/z: is not expected"
        ]
    );
}

#[test]
fn violations_are_bounded_in_number_and_length() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "schemas/demo/v1/Name.json", r#"{ "items": { "type": "null" } }"#);
    let schema = input(root.path(), &Options::default()).unwrap();
    let violations = schema.validate(&json!(vec!["x".repeat(10_000); 1_000])).unwrap_err();
    assert_eq!(violations.len(), Violation::LIST_MAX);
    assert!(violations.iter().all(|violation| violation.message.chars().count() <= 201));
}

#[test]
fn a_schema_that_is_none_is_a_mistake_where_it_is_named() {
    for (text, reason) in [
        ("{", "is no JSON"),
        (r#"{ "type": "strnig" }"#, "does not compile"),
        (r#"{ "$ref": "Missing.json" }"#, "there is no schema `demo/v1/Missing`"),
        (
            r#"{ "$ref": "https://example.com/Name.json" }"#,
            "may only name a schema of the same folder",
        ),
        (r#"{ "$ref": "file:///etc/passwd" }"#, "may only name a schema of the same folder"),
        (
            r#"{ "$ref": "../../../../etc/passwd.json" }"#,
            "may only name a schema of the same folder",
        ),
        (r#"{ "pattern": "(" }"#, "does not compile"),
    ] {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "schemas/demo/v1/Name.json", text);
        let found = input(root.path(), &Options::default()).unwrap_err();
        assert_eq!(places(&found), [("spec-bad-schema", 6, 10)], "{text}");
        assert!(found[0].message.contains(reason), "{text}: {}", found[0].message);
    }
}

#[test]
fn a_schema_may_refer_to_another_of_its_folder_and_its_hash_covers_both() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(
        root,
        "schemas/demo/v1/Name.json",
        r#"{ "properties": { "a": { "$ref": "../../base/v2/Word.json" } } }"#,
    );
    write(root, "schemas/base/v2/Word.json", r#"{ "type": "string" }"#);
    let first = input(root, &Options::default()).unwrap();
    assert!(first.accepts(&json!({ "a": "x" })) && !first.accepts(&json!({ "a": 1 })));
    assert_eq!(first.hash().len(), 12);
    write(root, "schemas/base/v2/Word.json", r#"{ "type": "integer" }"#);
    let second = input(root, &Options::default()).unwrap();
    assert_ne!(first.hash(), second.hash());
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "schemas/demo/v1/Name.json",
        r##"{ "properties": { "next": { "$ref": "#" } }, "required": ["n"] }"##,
    );
    let schema = input(root.path(), &Options::default()).unwrap();
    assert!(
        schema.accepts(&json!({ "n": 1, "next": { "n": 2 } }))
            && !schema.accepts(&json!({ "n": 1, "next": {} }))
    );
}
