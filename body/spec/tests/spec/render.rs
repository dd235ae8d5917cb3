//! Mistakes as plain text.

use crate::support::{cell, load, mistakes};

#[test]
fn all_mistakes_of_the_ten_are_printed_with_line_caret_and_hint() {
    let error = load(include_str!("../mistakes/ten.yaml")).unwrap_err();
    insta::assert_snapshot!(error.to_string());
}

#[test]
fn as_json_a_mistake_has_its_place_and_not_the_text_of_the_file() {
    let found = mistakes(&cell("  queu: 1"));
    let json = serde_json::to_value(&found[0]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "code": "spec-unknown-field",
            "message": "a cell's `spec` has no field `queu`",
            "hint": "did you mean `queue`?",
            "file": "spec.yaml",
            "line": 6,
            "column": 3,
            "span": { "offset": 91, "len": 4 },
        })
    );
    let text = found[0].source_text().unwrap();
    assert_eq!(&text[91..95], "queu");
}

#[test]
fn a_long_line_is_cut_around_the_mistake_and_controls_are_blanked() {
    let yaml =
        cell(&format!("  config: {{ a: \"{}\" }}\n  timeout: \"\t\u{1b}[31m\"", "x".repeat(500)));
    let long = yaml
        .replace("  config: {", "  config: { é: 1, b: &b 1, c: *b,")
        .replace("x\" }", "x\", d: *b }");
    let found = mistakes(&long);
    for mistake in &found {
        let shown = mistake.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines.iter().all(|line| line.chars().count() < 140 && !line.contains(['\u{1b}', '\t'])),
            "{shown:?}"
        );
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        let under: String = lines[1].chars().skip(caret).take(2).collect();
        assert!(["*b", "\" "].contains(&under.as_str()), "{shown}");
    }
    assert_eq!(found.len(), 3);
}

#[test]
fn a_mistake_at_the_very_end_still_has_a_caret() {
    let found = mistakes("kind: \"Cell");
    assert!(found.iter().all(|mistake| mistake.to_string().contains('^')), "{found:#?}");
}
