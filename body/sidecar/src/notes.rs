//! The notes about a call: conversion to and from frames, and transfer from one context of the call
//! to another.

use cbs::{CellContext, Note, Text};

use crate::proto;

impl proto::Note {
    /// Returns a note about the other side's request of this number.
    #[must_use]
    pub fn of(within: u64, note: &Note) -> Self {
        let empty = Self { within, ..Self::default() };
        match note {
            Note::Attribute { key, value } => Self { attribute: Some(field(key, value)), ..empty },
            Note::Event { name, time_ns, attributes } => {
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
    /// [`cbs::Notes::count_dropped`].
    pub fn notes(self) -> impl Iterator<Item = Note> {
        let attribute = self
            .attribute
            .map(|field| Note::Attribute { key: field.key.into(), value: field.value.into() });
        let event = self.event.map(|event| Note::Event {
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
    let (notes, dropped) = from.notes().take();
    for note in notes {
        to.notes().add(note);
    }
    to.notes().count_dropped(dropped);
}
