//! Plain language: one meaning a name, and doc comments that say what an item is or does.

use std::collections::BTreeMap;

use tidy::{rust, tree};

use crate::{Checked, hold};

/// Names that several crates may have, because they are used with their module's name:
/// `spec::Error`, `flow::Plan`.
const REPEATED: &[&str] = &[
    "Builder", "Config", "Error", "Event", "Handle", "Kind", "Options", "Plan", "Reader",
    "Settings", "Spec", "State", "Writer",
];

/// First words of comments that describe an item by a riddle.
const RIDDLES: &[&str] = &["What", "Who", "How", "Whether", "That", "Those"];

/// One of so many doc comments may begin with one of them.
const ONE_RIDDLE_OF: usize = 20;

const TUPLE_ELEMENTS_MAX: usize = 2;
const PARAMETERS_MAX: usize = 6;

/// Width of code too: rustfmt.toml has the same number.
const COLUMNS_MAX: usize = 100;

#[test]
fn a_public_type_name_has_one_meaning() -> Checked {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| file.path.contains("src/")) {
        if !file.path.starts_with("body/") || file.is_generated() || file.is_test() {
            continue;
        }
        for item in rust::items(&file.text)?.public_types {
            places.entry(item.name).or_default().push(file.at(item.line));
        }
    }
    let broken: Vec<String> = places
        .iter()
        .filter(|(name, at)| at.len() > 1 && !REPEATED.contains(&name.as_str()))
        .map(|(name, at)| format!("{name}: {}", at.join(", ")))
        .collect();
    hold(
        "A public type name has one definition in the workspace; a few names are used with their module's.",
        &broken,
    )
}

/// First line of every doc comment, with its line's number.
fn first_lines(text: &str) -> Vec<(usize, &str)> {
    let mut before = None;
    let mut first = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let mark = ["///", "//!"].into_iter().find(|mark| line.starts_with(mark));
        if let Some(mark) = mark
            && before != Some(mark)
        {
            first.push((number + 1, line[mark.len()..].trim_start()));
        }
        before = mark;
    }
    first
}

#[test]
fn a_doc_comment_begins_with_a_noun_or_a_verb() -> Checked {
    let mut all = 0;
    let mut broken = Vec::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| !file.is_generated()) {
        for (line, text) in first_lines(&file.text) {
            all += 1;
            if RIDDLES.contains(
                &text.split(|letter: char| !letter.is_alphabetic()).next().unwrap_or_default(),
            ) {
                broken.push(format!("{} {text}", file.at(line)));
            }
        }
    }
    println!("{} of {all} doc comments begin with one of {RIDDLES:?}", broken.len());
    if broken.len() * ONE_RIDDLE_OF <= all {
        broken.clear();
    }
    hold(
        "A doc comment begins with a noun or a verb in the third person; one of twenty may do otherwise.",
        &broken,
    )
}

#[test]
fn a_doc_comment_is_found_where_it_begins() {
    let text = "//! Of the file.\n//! More.\n\n/// What it is.\n/// More.\nfn a() {}\n    /// Of b.\nfn b() {}\n";
    assert_eq!(first_lines(text), [(1, "Of the file."), (4, "What it is."), (7, "Of b.")]);
}

#[test]
fn a_field_is_no_tuple_of_three() -> Checked {
    let mut broken = Vec::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| !file.is_generated()) {
        let fields = rust::items(&file.text)?.tuple_fields;
        let wide = fields.iter().filter(|field| field.size > TUPLE_ELEMENTS_MAX);
        broken.extend(wide.map(|field| format!("{} {}", file.at(field.line), field.name)));
    }
    hold("A field is a tuple of two at the most: three things have names.", &broken)
}

#[test]
fn a_function_has_at_most_six_parameters() -> Checked {
    let mut broken = Vec::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| !file.is_generated()) {
        let functions = rust::items(&file.text)?.parameters;
        let wide = functions.iter().filter(|function| function.size > PARAMETERS_MAX);
        broken.extend(wide.map(|it| format!("{} {} has {}", file.at(it.line), it.name, it.size)));
    }
    hold(
        &format!(
            "A function has up to {PARAMETERS_MAX} parameters, the elements of tuples counted."
        ),
        &broken,
    )
}

#[test]
fn a_let_takes_no_tuple_apart_that_it_writes() -> Checked {
    let mut broken = Vec::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| !file.is_generated()) {
        let lines = rust::items(&file.text)?.tuple_lets;
        broken.extend(lines.iter().map(|line| file.at(*line)));
    }
    hold(
        "Two values have a `let` each; a tuple is for a swap, a match or a function's result.",
        &broken,
    )
}

#[test]
fn a_tuple_that_a_let_takes_apart_is_found() -> Checked {
    let found =
        |body: &str| rust::items(&format!("fn f() {{\n{body}\n}}\n")).map(|items| items.tuple_lets);
    for broken in [
        "let (a, b) = (1, 2);",
        "let (mut a, [b, c]): (u8, _) = (one(), two());",
        "let ((a, _), b) = (pair(), format!(\"{c}\"));",
    ] {
        assert_eq!(found(broken)?, [2], "{broken}");
    }
    for allowed in [
        "let (a, b) = (b, a);",
        "let (a, b) = (1, format!(\"{a}\"));",
        "let (a, b) = (1, vec![a]);",
        "let (a, b) = pair();",
        "let (Some(a), Some(b)) = (one(), two()) else { return };",
    ] {
        assert_eq!(found(allowed)?, Vec::<usize>::new(), "{allowed}");
    }
    Ok(())
}

#[test]
fn a_comment_has_at_most_100_columns() -> Checked {
    let mut broken = Vec::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| !file.is_generated()) {
        let mut example = false;
        for (line, text) in file.lines() {
            let comment = text
                .trim_start()
                .strip_prefix("//")
                .map(|rest| rest.trim_start_matches(['/', '!']).trim());
            let Some(comment) = comment else {
                example = false;
                continue;
            };
            let fence = comment.starts_with("```");
            example ^= fence;
            let may_be_wide =
                example || fence || comment.starts_with('|') || comment.contains("://");
            if text.chars().count() > COLUMNS_MAX && !may_be_wide {
                broken.push(file.at(line));
            }
        }
    }
    hold(
        &format!("A line has up to {COLUMNS_MAX} columns, but for tables, links and examples."),
        &broken,
    )
}
