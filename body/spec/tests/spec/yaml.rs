//! The subset of YAML: meaning of scalars, and documents that do not grow when read.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{cell, load, mistakes, places};

/// Returns the meaning of a value in a spec.
fn value(yaml: &str) -> Value {
    let specs = load(&cell(&format!("  config:\n    value: {yaml}")))
        .unwrap_or_else(|error| panic!("{error}"));
    specs.cells().next().unwrap().config["value"].clone()
}

#[test]
fn scalars_mean_what_yaml_1_2_says() {
    for (yaml, meaning) in [
        ("", json!(null)),
        ("~", json!(null)),
        ("null", json!(null)),
        ("Null", json!(null)),
        ("nULL", json!("nULL")),
        ("true", json!(true)),
        ("FALSE", json!(false)),
        ("yes", json!("yes")),
        ("no", json!("no")),
        ("on", json!("on")),
        ("y", json!("y")),
        ("0", json!(0)),
        ("-7", json!(-7)),
        ("+7", json!(7)),
        ("007", json!(7)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("1_000", json!("1_000")),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        ("1.", json!(1.0)),
        ("1e3", json!(1000.0)),
        ("-1.5E-2", json!(-0.015)),
        ("1.2.3", json!("1.2.3")),
        ("0x", json!("0x")),
        ("1e", json!("1e")),
        (".", json!(".")),
        ("12:30", json!("12:30")),
        ("2026-01-02", json!("2026-01-02")),
        ("'1'", json!("1")),
        ("\"1\\n\"", json!("1\n")),
        ("!!str 1", json!("1")),
        ("|\n      a\n      b", json!("a\nb\n")),
        (">\n      a\n      b", json!("a b\n")),
        ("[]", json!([])),
        ("{}", json!({})),
        ("[1, [2]]", json!([1, [2]])),
        ("\"${ .input }\"", json!("${ .input }")),
        ("${ .input }", json!("${ .input }")),
    ] {
        assert_eq!(value(yaml), meaning, "{yaml}");
    }
}

#[test]
fn directives_document_ends_and_line_breaks_of_all_kinds_are_read() {
    let price = cell("");
    let pay = cell("").replace("price", "pay");
    for text in [
        format!("%YAML 1.2\n---\n{price}...\n%YAML 1.2\n---\n{pay}"),
        format!("# one\n\n---\n# more\n{price}--- # two\n{pay}---\n"),
        format!("---\n{price}\n---\n---\n{pay}...\n"),
    ] {
        for text in [text.clone(), text.replace('\n', "\r\n")] {
            let specs = load(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(specs.cells().len(), 2, "{text}");
        }
    }
}

#[test]
fn places_are_right_after_other_alphabets_and_other_line_breaks() {
    for line_break in ["\n", "\r\n", "\r"] {
        let yaml =
            cell("  config: { \"日本語🦀\": \"ä\", é: [1, 2] }\n  # ünïcödé\n  route: '日本'")
                .replace('\n', line_break);
        let found = mistakes(&yaml);
        assert_eq!(places(&found), [("spec-bad-value", 8, 10)], "{line_break:?}");
        let span = found[0].span;
        assert_eq!(&yaml[span.offset..span.offset + span.len], "'日本'");
    }
}

/// Limit of the time for a megabyte of text, in a build without optimisation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_megabyte_of_anything_is_read_in_bounded_time() {
    let megabyte = |piece: &str| piece.repeat((1 << 20) / piece.len());
    for text in [
        megabyte("["),
        megabyte("{"),
        megabyte("- "),
        megabyte("? "),
        megabyte("a: "),
        megabyte("---\n"),
        megabyte("---\n[\n"),
        megabyte("a: 1\n"),
        megabyte("\""),
        megabyte("&a *a "),
        megabyte("!"),
        megabyte("é, "),
        format!("[{}]", megabyte("é, ").get(..1_000_000).unwrap_or("")),
        format!("{{{}}}", megabyte("a: 1, ").get(..1_000_000).unwrap_or("")),
        megabyte("|\n"),
        megabyte("# \n"),
        megabyte("...\n"),
        megabyte("%A\n"),
    ] {
        let start = Instant::now();
        let found = mistakes(&text);
        assert!(!found.is_empty() && found.len() <= 501, "{:?}: {}", text.get(..10), found.len());
        assert!(found.iter().all(|mistake| mistake.to_string().len() < 2_000));
        assert!(start.elapsed() < PATIENCE, "{:?} took {:?}", text.get(..10), start.elapsed());
    }
}

#[test]
fn laughs_do_not_grow_to_a_billion() {
    let laughs = "  config:\n    a: &a [lol, lol]\n    b: &b [*a, *a]\n    c: &c [*b, *b]";
    let found = mistakes(&cell(laughs));
    assert_eq!(found.iter().map(|mistake| mistake.code).collect::<Vec<_>>(), ["spec-alias"; 4]);
}

#[test]
fn a_tab_after_a_colon_separates_as_a_blank_does() {
    for (yaml, meaning) in [
        ("{ b:\t5 }", json!({ "b": 5 })),
        ("{ b:\t\ttext, c:\ttrue,\td: \t1 }", json!({ "b": "text", "c": true, "d": 1 })),
        (
            "\n      a:\t5\n      b:\t[x,\ty]\n      c:\t-1",
            json!({ "a": 5, "b": ["x", "y"], "c": -1 }),
        ),
        ("{ \"q\":\t'a:\tb', r:\tx }", json!({ "q": "a:\tb", "r": "x" })),
        (
            "\n      a:\tb # c:\td\n      t: |\n        k:\tv\n      u: k:v",
            json!({ "a": "b", "t": "k:\tv\n", "u": "k:v" }),
        ),
    ] {
        assert_eq!(value(yaml), meaning, "{yaml:?}");
    }
    let timeout = cell("  timeout:\t5s");
    assert_eq!(
        load(&timeout).unwrap().cells().next().unwrap().policy.timeout,
        Duration::from_secs(5)
    );
    // As with a blank, a list or map does not begin on the line of its key; the place is that of
    // the text.
    for (yaml, column) in [("  config:\ta: 5", 12), ("  config:\t- a", 11)] {
        let found = mistakes(&cell(yaml));
        assert_eq!(places(&found)[0], ("spec-syntax", 6, column), "{yaml:?}: {found:?}");
    }
    // More tabs than are replaced one by one: what to do is said.
    let many = (0..4000).map(|n| format!("    k{n}:\tv\n")).collect::<String>();
    let found = mistakes(&cell(&format!("  config:\n{many}")));
    assert_eq!(found[0].hint.as_deref(), Some("a tab follows the colon: write a blank"));
}

#[test]
fn a_byte_order_mark_may_stand_before_every_document() {
    let one = cell("  queue: 1");
    let two = cell("  queue: 2").replace("price", "stock");
    for joined in [
        format!("\u{feff}{one}\n---\n\u{feff}{two}"),
        format!("\u{feff}{one}\n\u{feff}---\n{two}"),
        format!("\u{feff}---\n{one}\n...\n\u{feff}{two}"),
        format!("# one\n{one}\n---\n# two\n\u{feff}{two}"),
    ] {
        assert_eq!(
            load(&joined).unwrap_or_else(|error| panic!("{joined:?}: {error}")).cells().len(),
            2
        );
        let wrong = joined.replace("queue: 2", "queu: 2");
        let line = 1 + wrong.lines().position(|line| line.contains("queu:")).unwrap();
        assert_eq!(places(&mistakes(&wrong)), [("spec-unknown-field", line, 3)], "{wrong:?}");
    }
    let found = mistakes(&format!("{one}\n\u{feff}{two}"));
    assert!(found[0].hint.as_ref().unwrap().contains("byte order mark (BOM)"), "{found:?}");
}
