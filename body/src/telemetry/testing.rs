//! Spans and notes for tests.

use std::time::Duration;

use cbs::{CellName, Side, Source, Span, Target, Text, Trace, Transport, Uuid, span_of_attempt};

/// Returns a span of the handling of a request, at the root of a trace of its own.
pub(crate) fn span(id: Uuid) -> Span {
    let trace = Trace { trace_id: id.into_bytes(), span_id: span_of_attempt(id, 0), flags: 1 };
    let place =
        Source { body: "one".into(), cell: "cell logic.greet".into(), revision: "sha256:1".into() };
    Span {
        trace,
        parent: None,
        side: Side::Server,
        target: Target::Cell(CellName::new("logic.greet").expect("a name")),
        language: "rust".into(),
        place,
        peer: Source::default(),
        id,
        attempt: 0,
        began_ns: 1_000_000_000,
        waited: Duration::ZERO,
        elapsed: Duration::from_millis(2),
        via: Transport::Nats,
        error: None,
        notes: Vec::new(),
        notes_dropped: 0,
        tracestate: Text::default(),
    }
}

/// Returns a note of about this number of bytes.
pub(crate) fn note(bytes: usize) -> cbs::SpanEntry {
    cbs::SpanEntry::Attribute { key: "key".into(), value: Text::from("x".repeat(bytes)) }
}
