//! Limits of length, width and number.

use std::collections::BTreeSet;

use tidy::{rust, tree};

use crate::{Checked, hold};

const FILE_LINES: usize = 250;
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 80;
const FIELDS_MAX: usize = 12;
const REQUIRED_METHODS_MAX: usize = 4;

/// Structs that are wide for a reason.
const WIDE_STRUCTS: &[(&str, &str)] = &[
    (
        "Envelope",
        "it is the wire's header, field by field; its methods read and derive, they do not act",
    ),
    ("CellSpec", "it is a cell's spec as written, field by field"),
    ("Header", "the vectors' header is the wire's, field by field"),
];

#[test]
fn a_file_has_at_most_500_lines() -> Checked {
    let mut long = Vec::new();
    for file in tree::files(&["rs", "py", "dart", "sh"])?.iter().filter(|file| !file.is_generated())
    {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{}:1 has {lines} lines", file.path));
        } else if lines > FILE_LINES {
            println!("{}:1 has {lines} lines: over {FILE_LINES}, look for its parts", file.path);
        }
    }
    hold(&format!("A file has up to {FILE_LINES} lines, {FILE_LINES_MAX} at most."), &long)
}

#[test]
fn tests_of_a_long_file_stand_in_a_file_of_their_own() -> Checked {
    let mut crowded = Vec::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| !file.is_generated() && !file.is_test())
    {
        if file.text.lines().count() > FILE_LINES {
            let items = rust::items(&file.text)?;
            crowded.extend(items.inline_tests.iter().map(|line| file.at(*line)));
        }
    }
    hold(
        &format!("A file over {FILE_LINES} lines keeps its tests in a file of their own."),
        &crowded,
    )
}

#[test]
fn a_function_has_at_most_80_lines() -> Checked {
    let mut long = Vec::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| !file.is_generated()) {
        let items = rust::items(&file.text).map_err(|error| format!("{}: {error}", file.path))?;
        for function in items.functions.iter().filter(|function| function.size > FUNCTION_LINES_MAX)
        {
            long.push(format!(
                "{} {} has {} lines",
                file.at(function.line),
                function.name,
                function.size
            ));
        }
    }
    hold(&format!("A function has up to 40 lines, {FUNCTION_LINES_MAX} at most."), &long)
}

#[test]
fn a_struct_with_behaviour_has_at_most_12_fields() -> Checked {
    let mut behaving = BTreeSet::new();
    let mut wide = Vec::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| !file.is_generated()) {
        let package = file.path.split("/src/").next().unwrap_or_default().to_owned();
        let items = rust::items(&file.text)?;
        behaving.extend(items.behaving.into_iter().map(|name| (package.clone(), name)));
        for structure in items.structs {
            if structure.size > FIELDS_MAX
                && !WIDE_STRUCTS.iter().any(|(name, _)| *name == structure.name)
            {
                let place = format!(
                    "{} {} has {} fields",
                    file.at(structure.line),
                    structure.name,
                    structure.size
                );
                wide.push((package.clone(), structure.name, place));
            }
        }
    }
    // Its methods may be in another file than its fields.
    let broken: Vec<String> = wide
        .into_iter()
        .filter(|(package, name, _)| behaving.contains(&(package.clone(), name.clone())))
        .map(|(_, _, place)| place)
        .collect();
    hold(&format!("A struct with behaviour has up to 8 fields, {FIELDS_MAX} at most."), &broken)
}

#[test]
fn a_trait_has_at_most_four_required_methods() -> Checked {
    let mut wide = Vec::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| !file.is_generated()) {
        for item in rust::items(&file.text)?.traits {
            if item.size > REQUIRED_METHODS_MAX {
                wide.push(format!(
                    "{} {} requires {} methods",
                    file.at(item.line),
                    item.name,
                    item.size
                ));
            }
        }
    }
    hold("A trait has at most four required methods; sugar goes into an extension trait.", &wide)
}
