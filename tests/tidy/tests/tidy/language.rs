//! Plain language: one meaning a name, and names for what belongs together.

use std::collections::BTreeMap;

use tidy::{rust, tree};

use crate::{Checked, hold};

/// Names that several crates may have, because they are used with their module's name: `spec::Error`, `flow::Plan`.
const REPEATED: &[&str] = &[
    "Builder", "Config", "Error", "Event", "Handle", "Kind", "Options", "Plan", "Reader", "Settings", "Spec", "State",
    "Writer",
];

/// Names that two crates have until one crate holds checked specs for all.
const REPEATED_UNTIL_ONE_MODEL: &[&str] = &["Replicas", "Rollout"];

const TUPLE_ELEMENTS_MAX: usize = 2;
const PARAMETERS_MAX: usize = 6;

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
    let may_repeat = |name: &str| REPEATED.contains(&name) || REPEATED_UNTIL_ONE_MODEL.contains(&name);
    let broken: Vec<String> = places
        .iter()
        .filter(|(name, at)| at.len() > 1 && !may_repeat(name))
        .map(|(name, at)| format!("{name}: {}", at.join(", ")))
        .collect();
    hold("A public type name has one definition in the workspace; a few names are used with their module's.", &broken)
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
    hold(&format!("A function has up to {PARAMETERS_MAX} parameters, the elements of tuples counted."), &broken)
}
