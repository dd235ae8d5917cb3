//! Property tests: any bytes, and specs of all shapes.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::support::{diagnostics, load};

/// Values as they may stand in `config` and `with`.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1.0e15..1.0e15).prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any_key(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Texts that look like something else, that need quotes, and any others. (Not `${`: an
/// expression.)
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "no", "null", "~", "1", "0x1", "1e3", ".inf", "true", "", " a ", "- a", "a: b", "#a",
            "'", "\"", "*a", "&a", "!a", "---", "a\nb\n", "{", "|"
        ])
        .prop_map(str::to_owned),
        "[ -~é日]{0,12}",
        any::<String>().prop_map(|text| text.chars().filter(|c| is_plain(*c)).take(20).collect()),
    ]
    .prop_filter("an expression", |text| !text.contains("${"))
}

/// True if the printer, which writes YAML 1.1, prints the character as YAML 1.2 reads it. YAML 1.1
/// has line breaks that YAML 1.2 does not have.
fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

fn any_key() -> impl Strategy<Value = String> {
    any_text().prop_filter("an empty key", |key| !key.is_empty())
}

prop_compose! {
    fn any_cell()(
        concurrency in 1..1_000_000_u64,
        queue in 0..1_000_000_u64,
        timeout in 1..86_400_000_u64,
        idempotent in any::<bool>(),
        labels in prop::collection::btree_map(any_key(), any_text(), 0..3),
        config in prop::collection::btree_map(any_key(), any_value(), 0..4),
        retries in prop::option::of(1..=100_u64),
        version in prop::option::of((0..99_u64, 0..99_u64, 0..99_u64)),
    ) -> Value {
        let mut spec = json!({
            "runtime": "rust", "concurrency": concurrency, "queue": queue, "timeout": format!("{timeout}ms"),
            "idempotent": idempotent, "config": config,
        });
        if let Some(retries) = retries {
            spec["retry"] = json!({ "max": retries });
        }
        if let Some((major, minor, patch)) = version {
            spec["version"] = json!(format!("{major}.{minor}.{patch}"));
        }
        json!({ "apiVersion": "cbs/v1alpha1", "kind": "Cell", "metadata": { "name": "shop.price", "labels": labels }, "spec": spec })
    }
}

/// Checks what was read against what was printed.
fn same(printed: &Value, cell: &model::CellSpec) {
    let spec = &printed["spec"];
    assert_eq!(json!(cell.metadata.labels), printed["metadata"]["labels"]);
    assert_eq!(json!(cell.policy.concurrency), spec["concurrency"]);
    assert_eq!(json!(cell.policy.queue), spec["queue"]);
    assert_eq!(json!(format!("{}ms", cell.policy.timeout.as_millis())), spec["timeout"]);
    assert_eq!(json!(cell.policy.idempotent), spec["idempotent"]);
    assert_eq!(Value::Object(cell.config.clone()), spec["config"]);
    assert_eq!(
        json!(cell.policy.retry.as_ref().map(|retry| retry.max)),
        spec.pointer("/retry/max").cloned().unwrap_or_default()
    );
    let version = cell.version.as_ref().map(ToString::to_string);
    assert_eq!(json!(version), spec.get("version").cloned().unwrap_or_default());
}

#[test]
fn a_byte_order_mark_before_a_key_is_pointed_at_whole() {
    for text in ["\r\n\u{feff}: \n\n", "\n\u{feff}- a\n", "\u{feff}\u{feff}: a\n"] {
        let found = diagnostics(load(text));
        assert!(!found.is_empty(), "{text:?}");
        for mistake in found {
            let end = mistake.span.offset + mistake.span.len;
            let text = mistake.source_text();
            assert!(text.is_none_or(|text| text.get(mistake.span.offset..end).is_some()));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("any.yaml");
        std::fs::write(&file, &bytes).unwrap();
        let found = diagnostics(spec::load(&[file], &spec::Options::default()));
        prop_assert!(!found.is_empty());
    }

    #[test]
    fn any_text_of_yaml_marks_is_read_without_a_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "a", ": ", "- ", "? ", "[", "]", "{", "}", ",", "\n", "\n  ", "\r\n", "\r", "'", "\"", "|", ">", "&a ", "*a", "!!str ", "#", "---\n", "...\n",
            "%YAML 1.2\n", "é", "\t", "kind", "Cell", "spec", "\u{85}", "\u{2028}", "\u{feff}", "🦀", "\\", "1", "~", "apiVersion: cbs/v1alpha1\n",
        ]), 0..80)
    ) {
        for mistake in diagnostics(load(&words.concat())) {
            prop_assert!(mistake.line >= 1 && mistake.column >= 1);
            prop_assert!(mistake.source_text().is_none_or(|text| text.get(mistake.span.offset..mistake.span.offset + mistake.span.len).is_some()));
            prop_assert!(!mistake.to_string().is_empty());
        }
    }

    #[test]
    fn a_spec_that_is_printed_is_read_as_it_was(cell in any_cell()) {
        let yaml = serde_yaml::to_string(&cell).unwrap();
        for text in [yaml, cell.to_string(), format!("{cell:#}")] {
            let specs = load(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            same(&cell, specs.cells().next().unwrap());
        }
    }

    #[test]
    fn whatever_one_letter_is_changed_to_nothing_panics_and_places_are_within(
        cell in any_cell(), at in any::<prop::sample::Index>(), letter in any::<char>()
    ) {
        let mut letters: Vec<char> = serde_yaml::to_string(&cell).unwrap().chars().collect();
        let at = at.index(letters.len());
        letters[at] = letter;
        let text: String = letters.into_iter().collect();
        for mistake in diagnostics(load(&text)) {
            prop_assert!(mistake.span.offset + mistake.span.len <= text.len());
            prop_assert!(mistake.line <= text.lines().count() + text.matches('\r').count() + 1);
        }
    }
}

#[test]
fn a_map_of_every_awkward_text_comes_back() {
    let texts = [
        "no", "~", "", "0x1", "- a", "a: b", "#", "\"", "'", "\n", "*a", "!x", "🦀", "${", "{{",
        "---", "...", "=", "<<",
    ];
    let map: Map<String, Value> =
        texts.iter().enumerate().map(|(index, text)| (format!("k{index}"), json!(text))).collect();
    let cell = json!({ "apiVersion": "cbs/v1alpha1", "kind": "Cell", "metadata": { "name": "shop.price" }, "spec": { "runtime": "rust", "config": map } });
    let specs = load(&serde_yaml::to_string(&cell).unwrap()).unwrap();
    assert_eq!(specs.cells().next().unwrap().config, map);
}
