//! A map whose fields are known.

use super::{item::Item, shape::Shape};
use crate::{
    code,
    findings::Findings,
    render::start_of,
    source::SourceSpan,
    suggest,
    yaml::{Content, Node},
};

/// A map that is being read. Opening it reports the fields that are unknown.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    node: &'a Node,
    shape: &'static Shape,
    findings: &'a Findings,
}

impl<'a> Fields<'a> {
    /// Opens a map. If the value is no map, reports that and returns `None`.
    pub(super) fn open(item: Item<'a>, shape: &'static Shape) -> Option<Self> {
        let fields = Self { node: item.node, shape, findings: item.findings };
        if !matches!(item.node.content, Content::Map(_)) {
            return item.wrong_type(&format!("a map ({})", shape.fields.join(", ")));
        }
        for entry in
            item.node.entries().iter().filter(|entry| !shape.fields.contains(&entry.key.as_str()))
        {
            let message = format!("{} has no field `{}`", shape.what, shown(&entry.key));
            fields.report(
                entry.key_span,
                code::UNKNOWN_FIELD,
                message,
                suggest::hint(&entry.key, shape.fields),
            );
        }
        Some(fields)
    }

    /// A field that may be missing.
    pub(super) fn get(&self, name: &'static str) -> Option<Item<'a>> {
        debug_assert!(self.shape.fields.contains(&name), "{} has no field {name}", self.shape.what);
        self.node.at_key(name).map(|node| Item { name, node, findings: self.findings })
    }

    /// A field that must be there.
    pub(super) fn need(&self, name: &'static str, hint: &str) -> Option<Item<'a>> {
        let found = self.get(name);
        if found.is_none() {
            self.miss(format!("{} needs the field `{name}`", self.shape.what), hint);
        }
        found
    }

    /// Reports that something is missing.
    pub(super) fn miss(&self, message: String, hint: &str) {
        self.report(self.node.head, code::MISSING_FIELD, message, Some(hint.to_owned()));
    }

    /// Returns the place of a field's key, or of the map's head if there is no such field.
    pub(super) fn key_span(&self, name: &str) -> SourceSpan {
        let entry = self.node.entries().iter().find(|entry| entry.key == name);
        entry.map_or(self.node.head, |entry| entry.key_span)
    }

    /// True if the field is there, readable or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.node.at_key(name).is_some()
    }

    pub(super) fn report(
        &self,
        span: SourceSpan,
        code: &'static str,
        message: String,
        hint: Option<String>,
    ) {
        self.findings.add(span, code, message, hint);
    }

    pub(super) fn node(&self) -> &'a Node {
        self.node
    }
}

/// Returns a text of the file for use inside a message: at most 60 characters, on one line.
pub(super) fn shown(text: &str) -> String {
    start_of(text, 60)
}
