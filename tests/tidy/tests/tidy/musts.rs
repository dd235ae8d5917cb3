//! Numbered MUSTs: each has a test that carries its number.

use std::collections::{BTreeMap, BTreeSet};

use tidy::{rust, tree};

use crate::{Checked, hold};

/// Returns the numbers of a line, `BUS-3` of `/// - **BUS-3** a call MUST …`; other bold text is
/// passed over.
fn ids(line: &str) -> Vec<String> {
    let line = line.trim_start();
    if !line.starts_with("///") && !line.starts_with("//!") {
        return Vec::new();
    }
    line.split("**").skip(1).step_by(2).filter(|text| is_id(text)).map(str::to_owned).collect()
}

fn is_id(text: &str) -> bool {
    let Some((area, number)) = text.rsplit_once('-') else { return false };
    let is_area = !area.is_empty() && area.chars().all(|letter| letter.is_ascii_uppercase());
    is_area && !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit())
}

/// Returns `bus_3_` for `BUS-3`, which the name of its test contains.
fn mark(id: &str) -> String {
    format!("{}_", id.to_lowercase().replace('-', "_"))
}

fn carries(name: &str, mark: &str) -> bool {
    name.match_indices(mark)
        .any(|(at, _)| at == 0 || name.get(..at).is_some_and(|before| before.ends_with('_')))
}

/// Reads every number with the places that state it.
fn musts() -> std::io::Result<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| {
        // The testkit's cases quote the promises that they check.
        file.path.starts_with("body/")
            && file.path.contains("src/")
            && !file.path.starts_with("body/testkit/")
    }) {
        for (line, text) in file.lines() {
            for id in ids(text) {
                found.entry(id).or_default().push(file.at(line));
            }
        }
    }
    Ok(found)
}

/// Reads the name of every function with its place.
fn functions() -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    let mut found = Vec::new();
    for file in tree::files(&["rs"])?.iter().filter(|file| !file.is_generated()) {
        let items = rust::items(&file.text).map_err(|error| format!("{}: {error}", file.path))?;
        found.extend(
            items.functions.into_iter().map(|function| (function.name, file.at(function.line))),
        );
    }
    Ok(found)
}

#[test]
fn a_must_has_a_test_of_its_number() -> Checked {
    let functions = functions()?;
    let mut untested = Vec::new();
    for (id, places) in musts()? {
        let mark = mark(&id);
        if !functions.iter().any(|(name, _)| carries(name, &mark)) {
            untested.push(format!("{} {id}: no function is called …{mark}…", places.join(" ")));
        }
    }
    hold("A numbered MUST has a test with its number in its name.", &untested)
}

#[test]
fn a_number_means_one_thing() -> Checked {
    let twice: Vec<String> = musts()?
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(id, places)| format!("{} {id}", places.join(" ")))
        .collect();
    hold("A MUST has a number of its own.", &twice)
}

#[test]
fn a_numbered_test_has_its_must() -> Checked {
    let known: BTreeSet<String> = musts()?.into_keys().collect();
    let areas: BTreeSet<String> = known
        .iter()
        .filter_map(|id| id.split_once('-'))
        .map(|(area, _)| area.to_lowercase())
        .collect();
    let mut stray = Vec::new();
    for (name, place) in functions()? {
        let parts: Vec<&str> = name.split('_').collect();
        for pair in parts.windows(2) {
            let [area, number] = pair else { continue };
            let is_number =
                !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit());
            if is_number
                && areas.contains(*area)
                && !known.contains(&format!("{}-{number}", area.to_uppercase()))
            {
                stray.push(format!("{place} {name}"));
            }
        }
    }
    hold("A test that carries a number tests a MUST that is stated.", &stray)
}

#[test]
fn numbers_are_read_from_documentation_alone() {
    assert_eq!(
        ids("    /// - **BUS-3** a call MUST be answered; see **bold** and **BUS-12**"),
        ["BUS-3", "BUS-12"]
    );
    assert!(ids("let product = a **BUS-3** b;").is_empty());
    assert!(carries("bus_3_a_call_is_answered", "bus_3_") && !carries("omnibus_3_x", "bus_3_"));
}
