//! Plan of a change, in the form for a person or a program.

use std::collections::BTreeMap;

use cbs::Target;
use fleet::Diff;
use serde_json::{Value, json};

use crate::output;

/// Formats a plan, one line for each change.
pub(super) fn table(diff: &Diff) -> String {
    let added =
        diff.added.iter().map(|target| ["add".to_owned(), target.to_string(), String::new()]);
    let changed = diff.changed.iter().map(|change| {
        let line = change.to_string();
        let fields = line.split_once(": ").map(|(_, fields)| fields.to_owned()).unwrap_or_default();
        ["change".to_owned(), change.target.to_string(), fields]
    });
    let removed =
        diff.removed.iter().map(|target| ["remove".to_owned(), target.to_string(), String::new()]);
    output::table(["plan", "target", "what"], added.chain(changed).chain(removed))
}

pub(super) fn as_json(diff: &Diff) -> Value {
    let names = |targets: &[Target]| targets.iter().map(ToString::to_string).collect::<Vec<_>>();
    let changed: BTreeMap<String, _> =
        diff.changed.iter().map(|change| (change.target.to_string(), &change.fields)).collect();
    json!({ "added": names(&diff.added), "removed": names(&diff.removed), "changed": changed })
}
