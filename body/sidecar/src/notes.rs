//! The notes about a call: conversion to and from frames, and transfer from one context of the call
//! to another.

use cbs::{CellContext, SpanEntry, Text};

use crate::proto;

impl proto::Note {
    /// Returns a note about the other side's request of this number.
    #[must_use]
    pub fn of(within: u64, note: &SpanEntry) -> Self {
        let empty = Self { within, ..Self::default() };
        match note {
            SpanEntry::Attribute { key, value } => {
                Self { attribute: Some(field(key, value)), ..empty }
            }
            SpanEntry::Event { name, time_ns, attributes } => {
                let attributes = attributes.iter().map(|(key, value)| field(key, value)).collect();
                Self {
                    event: Some(proto::Event {
                        name: name.to_string(),
                        time_ns: *time_ns,
                        attributes,
                    }),
                    ..empty
                }
            }
        }
    }

    /// Returns the notes of this frame. The number of [`dropped`](Self::dropped) notes is for
    /// [`cbs::SpanEntries::count_dropped`].
    pub fn notes(self) -> impl Iterator<Item = SpanEntry> {
        let attribute = self
            .attribute
            .map(|field| SpanEntry::Attribute { key: field.key.into(), value: field.value.into() });
        let event = self.event.map(|event| SpanEntry::Event {
            name: event.name.into(),
            time_ns: event.time_ns,
            attributes: event
                .attributes
                .into_iter()
                .map(|field| (field.key.into(), field.value.into()))
                .collect(),
        });
        attribute.into_iter().chain(event)
    }
}

fn field(key: &Text, value: &Text) -> proto::Field {
    proto::Field { key: key.to_string(), value: value.to_string() }
}

/// Moves the notes of one context of a call to another, which is the one that is recorded.
pub fn hand_on_notes(from: &CellContext, to: &CellContext) {
    let (notes, dropped) = from.span_entries().take();
    for note in notes {
        to.span_entries().add(note);
    }
    to.span_entries().count_dropped(dropped);
}
