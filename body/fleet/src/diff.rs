//! Differences between two manifests, as data for people.

use std::{cmp::Ordering, collections::BTreeSet, fmt};

use cbs::Target;
use serde::Serialize;
use serde_json::Value;

use crate::{Head, Item, Manifest};

/// One field of an entry that changed. Values are JSON as text; absent ones are the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// The field, for example `replicas` or `version.spec`.
    pub field: String,
    /// Value before the change.
    pub from: Option<String>,
    /// Value after the change.
    pub to: Option<String>,
}

/// One entry that both manifests have, differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The cell or flow.
    pub target: Target,
    /// Fields that changed, by name.
    pub fields: Vec<FieldChange>,
}

/// Differences between two manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Only the new one has them.
    pub added: Vec<Target>,
    /// Only the old one has them.
    pub removed: Vec<Target>,
    /// Both have them, differently.
    pub changed: Vec<Change>,
}

/// Returns the differences from `old` to `new`.
#[must_use]
pub fn diff(old: &Manifest, new: &Manifest) -> Diff {
    let mut diff = Diff::default();
    let mut olds = old.entries().iter().peekable();
    let mut news = new.entries().iter().peekable();
    loop {
        let order = match (olds.peek(), news.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return diff,
        };
        match order {
            Ordering::Less => diff.removed.extend(olds.next().map(|(target, _)| target.clone())),
            Ordering::Greater => diff.added.extend(news.next().map(|(target, _)| target.clone())),
            Ordering::Equal => {
                if let (Some((target, old)), Some((_, new))) = (olds.next(), news.next())
                    && old != new
                {
                    diff.changed.push(Change { target: target.clone(), fields: fields(old, new) });
                }
            }
        }
    }
}

fn fields(old: &Item, new: &Item) -> Vec<FieldChange> {
    // What cannot be written has no fields to compare.
    let json = |item: &Item| serde_json::to_value(item).unwrap_or_default();
    let mut before = Vec::new();
    let mut after = Vec::new();
    flatten(String::new(), &json(old), &mut before);
    flatten(String::new(), &json(new), &mut after);
    let names: BTreeSet<&String> = before.iter().chain(&after).map(|(name, _)| name).collect();
    let find = |list: &[(String, String)], name: &String| {
        list.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    };
    let changes = names.into_iter().filter_map(|name| {
        let from = find(&before, name);
        let to = find(&after, name);
        (from != to).then(|| FieldChange { field: name.clone(), from, to })
    });
    changes.collect()
}

/// The leaves of a tree with the paths that lead to them.
fn flatten(path: String, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(path, value, into);
            }
        }
        Value::String(text) => into.push((path, text.clone())),
        other => into.push((path, other.to_string())),
    }
}

impl Diff {
    /// True if nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Returns every target that changed.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<&Target> {
        let changed = self.changed.iter().map(|change| &change.target);
        self.added.iter().chain(&self.removed).chain(changed).collect()
    }
}

impl fmt::Display for Diff {
    /// One line an entry: `+ cell a.b`, `- flow c`, `~ cell d.e: replicas 1 -> 2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.added.iter().try_for_each(|target| writeln!(f, "+ {target}"))?;
        self.removed.iter().try_for_each(|target| writeln!(f, "- {target}"))?;
        self.changed.iter().try_for_each(|change| writeln!(f, "{change}"))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "~ {}:", self.target)?;
        // A hash says nothing to a person but whether it is another.
        let short = |value: &Option<String>| -> String {
            let value = value.as_deref().unwrap_or("(default)");
            let is_hash = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
            value.chars().take(if is_hash { 12 } else { 60 }).collect()
        };
        for (index, field) in self.fields.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma} {} {} -> {}", field.field, short(&field.from), short(&field.to))?;
        }
        Ok(())
    }
}

/// Reason why a deploy did not become the head: another deploy did first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct Conflict {
    /// The head that holds now.
    pub head: Head,
    /// Changes by the other deploy, from the manifest that this deploy started from.
    pub theirs: Diff,
    /// Targets that both deploys changed.
    pub both: Vec<Target>,
}

impl Conflict {
    /// Returns a conflict: `base` is the manifest that this deploy started from, `mine` the one
    /// that it wanted, and `theirs` the manifest of the `head` that holds now.
    #[must_use]
    pub fn new(base: &Manifest, mine: &Manifest, theirs: &Manifest, head: Head) -> Self {
        let own = diff(base, mine);
        let theirs = diff(base, theirs);
        let both =
            own.targets().intersection(&theirs.targets()).map(|&target| target.clone()).collect();
        Self { head, theirs, both }
    }

    fn sentence(&self) -> String {
        let Head { number, who, message, .. } = &self.head;
        let list = |targets: &[&Target]| -> String {
            let mut names: Vec<String> = targets.iter().take(5).map(ToString::to_string).collect();
            names.extend((targets.len() > 5).then(|| "and more".to_owned()));
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        let theirs: Vec<&Target> = self.theirs.targets().into_iter().collect();
        let (theirs, both) = (list(&theirs), list(&self.both.iter().collect::<Vec<_>>()));
        format!(
            "generation {number} by {who} ({message}) came first and changed {theirs}; both changed {both}: \
             look at `cbs diff` and deploy again"
        )
    }
}
