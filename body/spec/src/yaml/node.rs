//! A value with its place.

use serde_json::{Map, Number, Value};

use crate::source::SourceSpan;

/// A value of a document.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) content: Content,
    /// Where the value stands.
    pub(crate) span: SourceSpan,
    /// Place to point at when the value as a whole is meant: its key if it has one.
    pub(crate) head: SourceSpan,
}

/// Content of a value.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Content that could not be read. The mistake is already reported, so no other one follows.
    Broken,
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: SourceSpan,
    pub(crate) value: Node,
}

impl Node {
    /// The entries of a map, else none.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key.
    pub(crate) fn at_key(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value at an index of a list.
    pub(crate) fn at_index(&self, index: usize) -> Option<&Node> {
        match &self.content {
            Content::List(items) => items.get(index),
            _ => None,
        }
    }

    /// The value in words, for messages.
    pub(crate) fn words(&self) -> String {
        match &self.content {
            Content::Broken => "something unreadable".to_owned(),
            Content::Null => "nothing".to_owned(),
            Content::Bool(value) => format!("the boolean `{value}`"),
            Content::Number(value) => format!("the number `{value}`"),
            Content::Text(_) => "a text".to_owned(),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a map".to_owned(),
        }
    }

    /// The same value as JSON.
    pub(crate) fn to_json(&self) -> Value {
        match &self.content {
            Content::Broken | Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(value) => Value::Number(value.clone()),
            Content::Text(value) => Value::String(value.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(entries) => {
                let entries =
                    entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}
