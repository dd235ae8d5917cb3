//! Exemplars: for each bucket of a cell's histogram, the last recorded call in it, by its trace.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cbs::{Side, Span};

use super::{bounds, page::Seconds, registry::MetricsRegistry};

/// Recorder of exemplars, which lead from a bucket's count to the trace of a call. There is one for
/// each cell and bucket; it is dropped with the cell.
#[derive(Clone)]
pub(crate) struct Exemplars(Arc<MetricsRegistry>);

/// One call that a bucket shows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exemplar {
    trace_id: [u8; 16],
    took: Duration,
    /// Time at which it ended, in nanoseconds since 1970.
    ended_ns: u64,
}

/// Exemplars of one cell. The memory for them is allocated with the first one.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<Option<Box<Buckets>>>);

/// Last call of each bucket.
pub(super) type Buckets = [Option<Exemplar>; bounds::COUNT + 1];

impl Exemplars {
    /// Creates a recorder for the cells of this registry.
    pub(crate) fn new(registry: Arc<MetricsRegistry>) -> Self {
        Self(registry)
    }

    /// Records a call that this body answered, if its trace is sampled: only such a trace can be
    /// looked up. Takes a lock for a moment, so it is for recorded calls only.
    pub(crate) fn note(&self, span: &Span) {
        if span.side == Side::Server && span.trace.is_sampled() {
            self.0.show(&span.target, || Exemplar::of(span));
        }
    }
}

impl Exemplar {
    fn of(span: &Span) -> Self {
        let took = u64::try_from(span.elapsed.as_nanos()).unwrap_or(u64::MAX);
        let ended_ns = span.began_ns.saturating_add(took);
        Self { trace_id: span.trace.trace_id, took: span.elapsed, ended_ns }
    }
}

impl Shown {
    /// Replaces the last call of its bucket by this one.
    pub(super) fn put(&self, exemplar: Exemplar) {
        let bucket = bounds::bucket_of(exemplar.took);
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = shown.get_or_insert_default().get_mut(bucket) {
            *place = Some(exemplar);
        }
    }

    /// Returns the last call of each bucket, or `None` if no call was recorded.
    pub(super) fn read(&self) -> Option<Box<Buckets>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Display for Exemplar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u128::from_be_bytes(self.trace_id);
        let took = Seconds(u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX));
        write!(f, "{{trace_id=\"{id:032x}\"}} {took} {}", Seconds(self.ended_ns))
    }
}
