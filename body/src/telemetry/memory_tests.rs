//! Tests of which spans stay in memory.

use super::*;
use crate::telemetry::testing::{note, span};

fn memory() -> (Memory, Arc<Counters>) {
    let counters = Arc::<Counters>::default();
    (Memory::new(counters.clone()), counters)
}

fn keep(memory: &Memory, span: Span) {
    memory.keep(size_of_span(&span), Arc::new(span));
}

/// Returns an id of shard 0.
fn id(number: u128) -> Uuid {
    Uuid::from_u128(number << 8)
}

#[test]
fn the_oldest_goes_where_a_room_is_full() {
    let (memory, counters) = memory();
    for number in 1..=ROOM_SPANS_MAX as u128 + 1 {
        keep(&memory, span(id(number)));
    }
    assert!(memory.trace(id(1).into_bytes()).is_empty());
    assert_eq!(memory.trace(id(2).into_bytes()).len(), 1);
    assert_eq!(counters.spans_kept(), ROOM_SPANS_MAX as u64);
}

#[test]
fn bytes_are_bounded_and_what_is_counted_is_what_is_there() {
    let (memory, counters) = memory();
    for number in 1..2_000 {
        let mut big = span(id(number));
        big.notes = vec![note(16 * 1024)];
        keep(&memory, big);
    }
    assert!(
        counters.spans_kept_bytes() <= ROOM_BYTES_MAX as u64,
        "{}",
        counters.spans_kept_bytes()
    );
    assert!(counters.spans_kept_bytes() > ROOM_BYTES_MAX as u64 / 2);
    assert!(counters.spans_kept() < 64 + 1, "{}", counters.spans_kept());
}

#[test]
fn a_flood_of_errors_does_not_push_out_what_was_sampled() {
    let (memory, _) = memory();
    keep(&memory, span(id(1)));
    for number in 2..10_000 {
        let mut failed = span(id(number));
        failed.trace.flags = 0;
        keep(&memory, failed);
    }
    assert_eq!(memory.trace(id(1).into_bytes()).len(), 1);
}

#[test]
fn a_span_is_found_by_its_trace_and_by_its_request() {
    let (memory, _) = memory();
    let mut foreign = span(id(7));
    foreign.trace.trace_id = [9; 16];
    keep(&memory, foreign);
    assert!(memory.trace(id(7).into_bytes()).is_empty());
    assert_eq!(memory.trace([9; 16]).len(), 1);
    assert_eq!(memory.request(id(7)).len(), 1);
    assert_eq!(memory.oldest_ns(), Some(1_000_000_000));
}

#[test]
fn one_trace_may_fill_all_the_room_that_sampled_spans_have() {
    let (memory, counters) = memory();
    let all = SPANS_MAX / ROOMS;
    for number in 0..all as u128 {
        let mut one = span(Uuid::from_u128(number));
        one.trace.trace_id = [9; 16];
        keep(&memory, one);
    }
    assert_eq!((memory.trace([9; 16]).len(), counters.spans_kept()), (all, all as u64));
}
