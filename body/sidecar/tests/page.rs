//! Checks that `specs/proto/sidecar.md` agrees with this crate: the same rules, the same kinds, and
//! an example that runs.
//!
//! `CBS_BLESS=1 cargo test -p sidecar --test page` writes the rules and the example into the page
//! anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use std::{fs, path::PathBuf};

const RULES: &str = "## What both sides keep\n\n";
const EXAMPLE: &str = "```python\n";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("specs/proto/sidecar.md")).unwrap()
}

/// Returns the page with the text between two marks replaced.
fn with(page: &str, from: &str, to: &str, text: &str) -> String {
    let start = page.find(from).unwrap_or_else(|| panic!("the page has no `{from}`")) + from.len();
    let end =
        start + page[start..].find(to).unwrap_or_else(|| panic!("`{from}` ends with no `{to}`"));
    format!("{}{text}{}", &page[..start], &page[end..])
}

/// Returns the rules from the crate's documentation.
fn rules() -> String {
    let text = include_str!("../src/lib.rs");
    let lines: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let start = lines.iter().position(|line| *line == "# What both sides keep").unwrap() + 2;
    lines.get(start..).unwrap().join("\n") + "\n"
}

#[test]
fn the_page_tells_the_rules_and_the_example_as_they_are() {
    let shout = fs::read_to_string(root().join("tests/sidecars/shout.py")).unwrap();
    let found = page();
    let expected = with(&with(&found, RULES, "\n## ", &rules()), EXAMPLE, "```", &shout);
    if std::env::var_os("CBS_BLESS").is_some() {
        fs::write(root().join("specs/proto/sidecar.md"), &expected).unwrap();
    } else {
        for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            let hint = "`CBS_BLESS=1 cargo test -p sidecar --test page` writes it";
            assert_eq!(found, expected, "specs/proto/sidecar.md:{}: {hint}", line + 1);
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn the_page_names_every_kind_with_its_number() {
    let (page, proto) = (page(), include_str!("../../../specs/proto/cbs/sidecar/v1/sidecar.proto"));
    let kinds = proto.split("oneof kind {").nth(1).unwrap().split('}').next().unwrap();
    let mut count = 0;
    for line in
        kinds.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"))
    {
        let [_, name, "=", number] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let row = format!("| {} | `{name}` |", number.trim_end_matches(';'));
        assert!(page.contains(&row), "the page has no row `{row}`");
        count += 1;
    }
    assert_eq!(count, 15);
}
