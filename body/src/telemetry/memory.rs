//! The spans that a body remembers, for `cbs trace`: bounded in number and in bytes, the oldest goes first.
//!
//! All spans of a trace stand in one of eight shards, so that those who record seldom meet and who asks
//! for a trace holds up few. What was sampled and what is kept though it was not (errors, slow calls) have
//! rooms of their own: a flood of errors does not push out the trace that somebody asked for.

use std::{
    collections::VecDeque,
    mem::size_of,
    sync::{Arc, Mutex, PoisonError},
};

use cbs::{Note, Span, Uuid};

use super::counters::Counters;

/// The most spans that are kept.
pub(crate) const SPANS_MAX: usize = 8_192;
/// The most bytes that they may have together.
pub(crate) const BYTES_MAX: usize = 16 * 1024 * 1024;
const SHARDS: usize = 8;
/// One for what was sampled, one for the rest.
const ROOMS: usize = 2;
const ROOM_SPANS_MAX: usize = SPANS_MAX / SHARDS / ROOMS;
const ROOM_BYTES_MAX: usize = BYTES_MAX / SHARDS / ROOMS;

/// The last spans of a body.
pub(super) struct Memory {
    shards: [Mutex<Shard>; SHARDS],
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Shard {
    sampled: Room,
    others: Room,
}

#[derive(Default)]
struct Room {
    /// With their sizes, the oldest first.
    spans: VecDeque<(usize, Arc<Span>)>,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { shards: Default::default(), counters }
    }

    /// Keeps a span; the oldest of its room go where there is none for it.
    pub(super) fn keep(&self, span: Arc<Span>) {
        let size = size_of_span(&span);
        let Some(shard) = self.shards.get(shard_of(span.trace.trace_id)) else { return };
        let sampled = span.trace.is_sampled();
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let room = if sampled { &mut shard.sampled } else { &mut shard.others };
        let went = room.keep(size, span);
        drop(shard);
        self.counters.count_kept((1, size as u64), went);
    }

    /// The spans of a trace, the oldest first.
    pub(super) fn trace(&self, trace_id: [u8; 16]) -> Vec<Arc<Span>> {
        let Some(shard) = self.shards.get(shard_of(trace_id)) else { return Vec::new() };
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.all().filter(|span| span.trace.trace_id == trace_id).cloned().collect()
    }

    /// The spans of a request, whatever trace they are of.
    pub(super) fn request(&self, id: Uuid) -> Vec<Arc<Span>> {
        let of = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.all().filter(|span| span.id == id).cloned().collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of).collect()
    }

    /// When the oldest span that is still kept began, in nanoseconds since 1970.
    pub(super) fn oldest_ns(&self) -> Option<u64> {
        let of = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let oldest = |room: &Room| room.spans.front().map(|(_, span)| span.began_ns);
            [oldest(&shard.sampled), oldest(&shard.others)].into_iter().flatten().min()
        };
        self.shards.iter().filter_map(of).min()
    }
}

impl Shard {
    fn all(&self) -> impl Iterator<Item = &Arc<Span>> {
        self.sampled.spans.iter().chain(&self.others.spans).map(|(_, span)| span)
    }
}

impl Room {
    /// How many spans went for it, and how many bytes.
    fn keep(&mut self, size: usize, span: Arc<Span>) -> (u64, u64) {
        let mut went = (0, 0);
        while (self.spans.len() >= ROOM_SPANS_MAX || self.bytes + size > ROOM_BYTES_MAX)
            && let Some((size, _)) = self.spans.pop_front()
        {
            self.bytes -= size;
            went = (went.0 + 1, went.1 + size as u64);
        }
        self.bytes += size;
        self.spans.push_back((size, span));
        went
    }
}

/// The low bytes of an id are the random ones.
fn shard_of(trace_id: [u8; 16]) -> usize {
    usize::from(trace_id[15]) % SHARDS
}

/// Roughly what a span takes: itself, and the texts that it may be the last to hold.
fn size_of_span(span: &Span) -> usize {
    let texts = [&span.language, &span.place.body, &span.place.cell, &span.place.revision];
    let peer = [&span.peer.body, &span.peer.cell, &span.peer.revision];
    let texts: usize = texts.into_iter().chain(peer).map(|text| text.len()).sum();
    size_of::<Span>() + texts + span.notes.iter().map(size_of_note).sum::<usize>()
}

/// What a note takes.
pub(super) fn size_of_note(note: &Note) -> usize {
    let texts = match note {
        Note::Attribute { key, value } => key.len() + value.len(),
        Note::Event { name, attributes, .. } => {
            let pair = size_of_val(attributes.as_slice());
            name.len() + pair + attributes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
        }
    };
    size_of::<Note>() + texts
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
