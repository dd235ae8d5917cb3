//! Recorder of a body: decides which calls are sampled, and keeps and sends recorded spans.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    counters::{Counters, Reason, Signal},
    memory::{self, Memory},
    otlp::Queue,
};
use cbs::{Span, SpanEntry, SpanSink};

/// Limit of the bytes of notes that a span keeps. Notes beyond it are counted as dropped.
const SPAN_ENTRIES_BYTES_MAX: usize = 32 * 1024;

/// Receives every span that is recorded.
pub(crate) type SpanTap = Box<dyn Fn(&Span) + Send + Sync>;

/// Recorder of the calls of one body: into its memory, and into the queue to an OTLP receiver.
pub(crate) struct Spans {
    ratio: f64,
    slow: Duration,
    memory: Memory,
    queue: Option<Queue<Arc<Span>>>,
    watcher: OnceLock<SpanTap>,
    counters: Arc<Counters>,
}

impl Spans {
    pub(super) fn new(
        ratio: f64,
        slow: Duration,
        queue: Option<Queue<Arc<Span>>>,
        counters: Arc<Counters>,
    ) -> Self {
        let memory = Memory::new(counters.clone());
        Self { ratio, slow, memory, queue, watcher: OnceLock::new(), counters }
    }

    /// Sets the watcher that receives every span from now on. The first watcher stays.
    pub(crate) fn watch(&self, watcher: SpanTap) {
        drop(self.watcher.set(watcher));
    }

    /// Returns the share of the traces that begin here and are sampled: from 0 for none to 1 for
    /// all.
    pub(super) fn ratio(&self) -> f64 {
        self.ratio
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl SpanSink for Spans {
    fn samples(&self, trace_id: [u8; 16]) -> bool {
        is_sampled(trace_id, self.ratio)
    }

    fn slow(&self) -> Duration {
        self.slow
    }

    fn record(&self, mut span: Span) {
        self.counters.count_recorded();
        bound(&mut span);
        if let Some(watcher) = self.watcher.get() {
            watcher(&span);
        }
        let (size, span) = (memory::size_of_span(&span), Arc::new(span));
        if let Some(queue) = &self.queue {
            // Many errors leave half of the capacity to sampled spans.
            let has_room = span.trace.is_sampled() || !queue.is_half_full();
            if !(has_room && queue.offer(size, span.clone())) {
                self.counters.count_dropped(Signal::Traces, Reason::QueueFull, 1);
            }
        }
        self.memory.keep(size, span);
    }
}

/// Returns true if the trace's id, well mixed, is below the ratio. OpenTelemetry's
/// `TraceIdRatioBased` takes the id's low bytes as they are: in a `UUIDv7`, which implied ids are,
/// their highest bits are always the same and the next ones a counter.
fn is_sampled(trace_id: [u8; 16], ratio: f64) -> bool {
    if ratio >= 1.0 {
        return true;
    }
    let low = u128::from_be_bytes(trace_id) & u128::from(u64::MAX);
    // The finalizer of SplitMix64 (https://prng.di.unimi.it/splitmix64.c).
    let mut mixed = u64::try_from(low).unwrap_or(0);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    // The 53 bits that a float holds.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let share = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
    share < ratio
}

/// Drops the notes that are beyond the limit of one span.
fn bound(span: &mut Span) {
    let mut bytes_left = SPAN_ENTRIES_BYTES_MAX;
    let fits = |note: &SpanEntry| match bytes_left.checked_sub(memory::size_of_entry(note)) {
        Some(rest) => {
            bytes_left = rest;
            true
        }
        None => false,
    };
    let before = span.notes.len();
    span.notes.retain(fits);
    span.notes_dropped = span
        .notes_dropped
        .saturating_add(u32::try_from(before - span.notes.len()).unwrap_or(u32::MAX));
}

#[cfg(test)]
#[path = "spans_tests.rs"]
mod tests;
