//! Every mistake is found, at its place, and nothing else is.

use std::collections::BTreeSet;

use crate::support::{cell, flow, mistakes, places, unmark};

#[test]
fn ten_different_mistakes_in_one_file_are_ten_diagnostics_at_their_lines_and_columns() {
    let mistakes = mistakes(include_str!("../mistakes/ten.yaml"));
    assert_eq!(
        places(&mistakes),
        [
            ("spec-unknown-field", 7, 3),
            ("spec-bad-duration", 8, 12),
            ("spec-wrong-type", 9, 15),
            ("spec-unknown-schema", 10, 10),
            ("spec-duplicate-key", 12, 3),
            ("spec-bad-name", 16, 19),
            ("spec-out-of-range", 17, 37),
            ("flow-syntax", 24, 44),
            ("spec-unknown-cell", 25, 24),
            ("spec-missing-field", 26, 7),
        ]
    );
}

/// A code, and a text with the mark `¦` before each place that must be reported under it.
fn cases() -> Vec<(&'static str, String)> {
    let rust = |lines: &str| cell(lines);
    let whole = |text: &str| text.to_owned();
    const HEAD: &str = "apiVersion: cbs/v1alpha1\n";
    let mut cases = vec![
        ("spec-empty", whole("¦# nothing yet\n")),
        ("spec-not-text", whole("kind: Ce¦\0ll")),
        ("spec-syntax", rust("  config: { a: 'b¦\n").replace("'b¦", "[b ¦}")),
        (
            "spec-too-deep",
            rust(&format!("  config: {{ a: {}¦[{} }}", "[".repeat(61), "]".repeat(62))),
        ),
        ("spec-alias", rust("  config: { a: &a 1, b: ¦*a }")),
        ("spec-tag", rust("  config: { a: ¦!!int 1 }")),
        ("spec-key", rust("  config: { ¦[a]: 1 }")),
        ("spec-key", rust("  config: { ¦\"\": 1 }")),
        (
            "spec-number",
            rust("  config: { a: ¦.inf, b: ¦1e999, c: ¦123456789012345678901234567890 }"),
        ),
        ("spec-duplicate-key", rust("  queue: 1\n  ¦queue: 2")),
        ("spec-duplicate-key", rust("  config: { a: { b: 1, ¦b: 2 } }")),
        ("spec-unknown-version", cell("").replace("cbs/v1alpha1", "¦cbs/v2")),
        ("spec-unknown-kind", cell("").replace("Cell", "¦cell")),
        (
            "spec-unknown-field",
            rust("  ¦replica: 2\n  rollout: { ¦canari: {}, strategy: rolling }"),
        ), // typos: meant
        ("spec-unknown-field", rust("¦status: {}")),
        (
            "spec-missing-field",
            format!("{HEAD}kind: Cell\nmetadata: {{ name: a.b }}\n¦spec: {{}}\n"),
        ),
        (
            "spec-missing-field",
            format!("{HEAD}kind: Cell\n¦metadata: {{ labels: {{}} }}\nspec: {{ runtime: rust }}\n"),
        ),
        (
            "spec-missing-field",
            whole("¦apiVersion: cbs/v1alpha1\nmetadata: {}\nspec: {}\n")
                .replace("metadata: {}\n", "metadata: { name: x }\n"),
        ),
        ("spec-missing-field", rust("  ¦retry: { backoff: 1s }")),
        (
            "spec-wrong-type",
            rust("  queue: ¦'7'\n  idempotent: ¦no\n  config: ¦[]\n  retry: ¦3\n  input: ¦1"),
        ),
        ("spec-wrong-type", whole("¦- a\n- b\n")),
        ("spec-wrong-type", whole("¦just a text\n")),
        (
            "spec-wrong-type",
            rust("  ¦timeout:\n  ¦config:")
                .replace("config:", "config: ")
                .replace("config: \n", "config:\n"),
        ),
        (
            "spec-wrong-type",
            cell("").replace("name: shop.price", "name: shop.price, labels: { team: ¦7 }"),
        ),
    ];
    cases.extend(of_values());
    cases.extend(of_runtimes());
    cases.extend(of_flows());
    cases
}

fn of_values() -> Vec<(&'static str, String)> {
    let rust = |lines: &str| cell(lines);
    vec![
        ("spec-bad-name", cell("").replace("shop.price", "¦price")),
        ("spec-bad-name", cell("").replace("shop.price", "¦flow.price")),
        ("spec-bad-name", rust("  input: ¦demo/Name\n  output: ¦../../etc/passwd")),
        ("spec-bad-value", rust("  route: ¦local")),
        ("spec-bad-value", rust("  replicas: ¦each\n  rollout: { canary: { share: ¦10 } }")),
        (
            "spec-wrong-type",
            rust("  replicas: ¦[]\n  rollout: ¦recreate\n  enabled: ¦off\n  place: ¦a"),
        ),
        ("spec-conflict", rust("  rollout: { strategy: rolling, ¦canary: { share: 1% } }")),
        ("spec-missing-field", rust("  ¦rollout: {}")),
        ("spec-missing-field", rust("  rollout: { ¦canary: { calls: 1 } }")),
        (
            "spec-out-of-range",
            rust(
                "  replicas: ¦0\n  rollout: { canary: { share: ¦100%, slower: ¦50% } }\n  spread: ¦''",
            ),
        ),
        ("spec-bad-value", cell("").replace("rust", "¦golang")),
        (
            "spec-bad-duration",
            rust("  timeout: ¦5\n  retry: { max: 1, backoff: ¦1.5ms, max_backoff: ¦soon }"),
        ),
        ("spec-bad-version", rust("  version: ¦1.0")),
        ("spec-bad-version", rust("  version: ¦1.0.0.0")),
        (
            "spec-out-of-range",
            rust("  concurrency: ¦0\n  queue: ¦-1\n  timeout: ¦25h\n  retry: { max: ¦1000 }"),
        ),
        ("spec-out-of-range", rust("  retry: { max: 1, backoff: 5s, ¦max_backoff: 1s }")),
        (
            "spec-wrong-runtime",
            rust(
                "  ¦source: a.py:b\n  ¦command: [x]\n  ¦env: { A: b }\n  ¦workers: 2\n  ¦limits: {}",
            ),
        ),
        ("spec-unknown-schema", rust("  input: ¦demo/v1/Name")),
        ("spec-duplicate-name", format!("{}---\n{}", cell(""), cell("").replace("shop", "¦shop"))),
        (
            "spec-similar-name",
            format!(
                "{}---\n{}",
                cell("").replace("price", "list_price"),
                cell("").replace("shop.price", "¦shop.list-price")
            ),
        ),
    ]
}

fn of_runtimes() -> Vec<(&'static str, String)> {
    let of = |runtime: &str, lines: &str| cell(lines).replace("rust", runtime);
    vec![
        ("spec-missing-field", of("python", "").replace("spec:", "¦spec:")),
        ("spec-missing-field", of("dart", "").replace("spec:", "¦spec:")),
        ("spec-missing-field", of("exec", "").replace("spec:", "¦spec:")),
        ("spec-missing-file", of("python", "  source: ¦cells/no.py:greet")),
        ("spec-missing-file", of("dart", "  source: ¦bin/no.dart")),
        ("spec-missing-file", of("exec", "  command: [¦./no]")),
        ("spec-bad-value", of("python", "  source: ¦greet.py")),
        ("spec-wrong-runtime", of("python", "  source: Cargo.toml:a\n  ¦env: { A: b }")),
        ("spec-bad-name", of("exec", "  command: [x]\n  env: { ¦A-B: b }")),
        ("spec-conflict", of("dart", "  source: Cargo.toml\n  ¦command: [x]")),
        ("spec-bad-size", of("exec", "  command: [x]\n  limits: { memory: ¦64M }")),
        ("spec-out-of-range", of("exec", "  command: [x]\n  limits: { memory: ¦1KiB, files: ¦3 }")),
        ("spec-out-of-range", of("exec", "  command: ¦[]")),
        (
            "spec-out-of-range",
            of("python", "  source: Cargo.toml:a\n  workers: { min: 4, ¦max: 2 }"),
        ),
    ]
}

fn of_flows() -> Vec<(&'static str, String)> {
    let two_flows = |first: &str, second: &str| {
        let other = flow(&format!("    - {{ id: a, {second} }}"))
            .replace("order", "ship")
            .replace(&cell(""), "");
        format!("{}{other}", flow(&format!("    - {{ id: a, {first} }}")))
    };
    vec![
        (
            "spec-unknown-cell",
            flow(
                "    - { id: a, call: ¦shop.prize }\n    - { id: b, call: shop.price, catch: { call: ¦shop.pric } }",
            ),
        ),
        ("spec-unknown-flow", flow("    - { id: a, flow: ¦ship }")),
        ("spec-flow-cycle", flow("    - { id: a, flow: ¦order }")),
        ("spec-flow-cycle", two_flows("flow: ship", "flow: ¦order")),
        ("spec-flow-cycle", two_flows("flow: ship", "call: shop.price, catch: { flow: ¦order }")),
        (
            "spec-bad-name",
            flow("    - { id: a, call: ¦price }\n    - { id: b, flow: ¦shop.order }"),
        ),
        ("spec-conflict", flow("    - { id: a, call: shop.price, ¦flow: ship, external: true }")),
        (
            "spec-missing-field",
            flow("    - { id: a, call: shop.price, ¦catch: { codes: [timeout] } }"),
        ),
        ("spec-missing-field", flow("    - ¦call: shop.price")),
        ("spec-missing-field", flow("    - { id: a, call: shop.price, ¦each: { parallel: 2 } }")),
        (
            "spec-out-of-range",
            flow("    - { id: a, call: shop.price, each: { items: [], parallel: ¦0 } }"),
        ),
        ("spec-out-of-range", flow("").replace("steps:\n", "steps: ¦[]\n")),
        (
            "spec-wrong-type",
            flow(
                "    - ¦shop.price\n    - { id: b, call: shop.price, needs: ¦a, external: ¦maybe, when: ¦3 }",
            ),
        ),
        ("flow-needs", flow("    - { id: a, call: shop.price, needs: [¦b] }")),
        (
            "flow-step-twice",
            flow("    - { id: a, call: shop.price }\n    - { id: ¦a, call: shop.price }"),
        ),
        ("flow-step-id", flow("    - { id: ¦A, call: shop.price }")),
        (
            "flow-not-before",
            flow(
                "    - { id: a, call: shop.price, needs: [] }\n    - { id: b, call: shop.price, needs: [], with: { x: ¦\"${ .steps.a }\" } }",
            ),
        ),
        ("flow-each", flow("    - { id: a, call: shop.price, each: ¦names }")),
        (
            "flow-syntax",
            flow("    - id: a\n      call: shop.price\n      with: [1, { x: ¦\"${ ( }\" }]"),
        ),
        (
            "flow-catch",
            flow(
                "    - { id: a, call: shop.price, catch: { codes: [timeout, ¦tiemout], with: 1 } }",
            ),
        ),
    ]
}

#[test]
fn each_mistake_is_reported_once_at_its_place_and_nothing_else() {
    for (code, marked) in cases() {
        let (yaml, expected) = unmark(&marked);
        let expected: Vec<_> =
            expected.into_iter().map(|(line, column)| (code, line, column)).collect();
        let found = mistakes(&yaml);
        assert_eq!(places(&found), expected, "{found:#?}\nin\n{marked}");
    }
}

#[test]
fn every_code_has_a_case() {
    // These need files: see `folders` and `schemas`; the last a file of hundreds of mistakes.
    let elsewhere = [
        "spec-unreadable",
        "spec-no-file",
        "spec-too-large",
        "spec-bad-schema",
        "spec-too-many",
        "spec-foreign",
        "spec-not-read",
    ];
    let cases: BTreeSet<&str> =
        cases().into_iter().map(|(code, _)| code).chain(elsewhere).collect();
    let missing: Vec<&str> =
        spec::CODES.iter().map(|(code, _)| *code).filter(|code| !cases.contains(code)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_mistake_is_one_line_in_lower_case_without_a_full_stop() {
    for (_, marked) in cases() {
        for mistake in mistakes(&unmark(&marked).0) {
            for text in [Some(mistake.message.clone()), mistake.hint.clone()].into_iter().flatten()
            {
                assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
                assert!(!text.starts_with(|c: char| c.is_uppercase()), "{text}");
            }
        }
    }
}

#[test]
fn a_broken_document_does_not_hide_the_mistakes_of_the_others() {
    let (yaml, expected) = unmark(&format!(
        "{}---\nkind: [¦\n---\n{}",
        cell("  ¦a: 1"),
        cell("  ¦b: 1").replace("price", "pay")
    ));
    let found = mistakes(&yaml);
    let at: Vec<_> = found.iter().map(|mistake| (mistake.line, mistake.column)).collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!((at[0], at[2]), (expected[0], expected[2]));
    assert_eq!(found[1].code, "spec-syntax");
}

#[test]
fn a_cell_whose_spec_is_broken_is_declared_all_the_same() {
    let yaml =
        flow("    - { id: a, call: shop.price }").replace("  runtime: rust", "  runtime: go");
    assert_eq!(places(&mistakes(&yaml)), [("spec-bad-value", 5, 12)]);
}

#[test]
fn hundreds_of_mistakes_are_cut_short_with_a_word() {
    let lines: String = (0..2_000).map(|index| format!("  nonsense_{index}: 1\n")).collect();
    let found = mistakes(&cell(&lines));
    assert_eq!(found.len(), 501);
    assert_eq!(found.iter().filter(|mistake| mistake.code == "spec-too-many").count(), 1);
}

#[test]
fn slips_of_the_pen_are_recognised() {
    for (written, meant) in [
        ("concurency", "concurrency"),
        ("time_out", "timeout"),
        ("Timeout", "timeout"),
        ("idempotant", "idempotent"),
        ("inputs", "input"),
        ("qeue", "queue"),
        ("retires", "retry"),
    ] {
        let hint = mistakes(&cell(&format!("  {written}: 1")))[0].hint.clone().unwrap();
        if meant == "retry" {
            assert!(hint.starts_with("expected one of: runtime, "), "{hint}");
        } else {
            assert_eq!(hint, format!("did you mean `{meant}`?"), "{written}");
        }
    }
}

#[test]
fn the_commonest_slips_of_type_have_a_hint() {
    for (lines, hint) in [
        ("  idempotent: yes", "write `true`"),
        ("  idempotent: Off", "write `false`"),
        ("  queue: '8'", "write it without quotes: 8"),
        ("  input: 0x8", "quote it: \"0x8\""),
        ("  queue:", "write a value, or take the field out"),
    ] {
        assert_eq!(mistakes(&cell(lines))[0].hint.as_deref(), Some(hint), "{lines}");
    }
}
