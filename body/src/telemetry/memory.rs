//! Span memory of a body, for `cbs trace`: bounded in number and in bytes. The oldest span is
//! removed first.
//!
//! Spans are in eight shards, so that recorders seldom wait for each other, and a reader locks one
//! shard at a time for a moment. The spans of one trace are spread over all shards: a trace may
//! fill the whole memory. Sampled spans, and spans that are kept although they were not sampled
//! (errors, slow calls), have space of their own: many errors do not push out a sampled trace.

use std::{
    collections::VecDeque,
    mem::size_of,
    sync::{Arc, Mutex, PoisonError},
};

use cbs::{Span, SpanEntry, Uuid};

use super::counters::Counters;

/// Limit of the number of spans that are kept.
pub(crate) const SPANS_MAX: usize = 8_192;
/// Limit of the bytes that they may have together.
pub(crate) const BYTES_MAX: usize = 16 * 1024 * 1024;
const SHARDS: usize = 8;
/// Number of queues in a shard: one for sampled spans, one for the others.
const ROOMS: usize = 2;
const ROOM_SPANS_MAX: usize = SPANS_MAX / SHARDS / ROOMS;
const ROOM_BYTES_MAX: usize = BYTES_MAX / SHARDS / ROOMS;

/// Last spans of a body.
pub(super) struct Memory {
    shards: [Mutex<Shard>; SHARDS],
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Shard {
    sampled: SpanQueue,
    others: SpanQueue,
}

#[derive(Default)]
struct SpanQueue {
    /// Spans with their sizes, the oldest first.
    spans: VecDeque<(usize, Arc<Span>)>,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { shards: Default::default(), counters }
    }

    /// Keeps a span of this size. The oldest spans of its queue are removed if it does not fit.
    pub(super) fn keep(&self, size: usize, span: Arc<Span>) {
        let Some(shard) = self.shards.get(shard_of(span.trace.span_id)) else { return };
        let sampled = span.trace.is_sampled();
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = if sampled { &mut shard.sampled } else { &mut shard.others };
        let went = queue.keep(size, span);
        // Counted within the lock, so that no span is counted as removed before it is counted as
        // kept.
        self.counters.count_kept((1, size as u64), went);
    }

    /// Returns the spans of a trace, the oldest first.
    pub(super) fn trace(&self, trace_id: [u8; 16]) -> Vec<Arc<Span>> {
        let mut found = self.find(|span| span.trace.trace_id == trace_id);
        found.sort_by_key(|span| span.began_ns);
        found
    }

    /// Returns the spans of a request, of any trace.
    pub(super) fn request(&self, id: Uuid) -> Vec<Arc<Span>> {
        self.find(|span| span.id == id)
    }

    fn find(&self, is: impl Fn(&Span) -> bool) -> Vec<Arc<Span>> {
        let of = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.all().filter(|span| is(span)).cloned().collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of).collect()
    }

    /// Returns the time at which the oldest kept span began, in nanoseconds since 1970.
    pub(super) fn oldest_ns(&self) -> Option<u64> {
        let of = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let oldest = |queue: &SpanQueue| queue.spans.front().map(|(_, span)| span.began_ns);
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

impl SpanQueue {
    /// Keeps a span. Returns the number of spans that were removed for it, and their bytes.
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

/// Returns the shard of a span: the low bytes of an id are the random ones.
fn shard_of(span_id: [u8; 8]) -> usize {
    usize::from(span_id[7]) % SHARDS
}

/// Returns the approximate size of a span: the span itself, its entry in the memory, and the texts
/// that it may be the last to hold.
pub(super) fn size_of_span(span: &Span) -> usize {
    /// Bytes of the counters of an `Arc`, and of an entry in a queue.
    const AROUND: usize = 4 * size_of::<usize>();
    let texts = [
        &span.language,
        &span.place.body,
        &span.place.cell,
        &span.place.revision,
        &span.tracestate,
    ];
    let peer = [&span.peer.body, &span.peer.cell, &span.peer.revision];
    let texts: usize = texts.into_iter().chain(peer).map(|text| text.len()).sum();
    let names =
        span.target.name().len() + span.error.as_ref().map_or(0, |code| code.as_str().len());
    AROUND + size_of::<Span>() + texts + names + span.notes.iter().map(size_of_entry).sum::<usize>()
}

/// Returns the approximate size of a note.
pub(super) fn size_of_entry(note: &SpanEntry) -> usize {
    let texts = match note {
        SpanEntry::Attribute { key, value } => key.len() + value.len(),
        SpanEntry::Event { name, attributes, .. } => {
            let pair = size_of_val(attributes.as_slice());
            name.len()
                + pair
                + attributes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
        }
    };
    size_of::<SpanEntry>() + texts
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
