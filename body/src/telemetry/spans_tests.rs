//! Tests of sampling, and of the handling of a recorded span.

use super::*;
use crate::telemetry::testing::{note, span};

fn spans(queue: Option<Queue<Arc<Span>>>) -> Spans {
    Spans::new(1.0, Duration::from_secs(1), queue, Arc::default())
}

#[test]
fn of_ids_made_one_after_another_the_ratio_is_sampled() {
    let sampled =
        (0..100_000).filter(|_| is_sampled(cbs::Uuid::now_v7().into_bytes(), 0.1)).count();
    assert!((9_000..11_000).contains(&sampled), "{sampled}");
}

#[test]
fn none_and_all_are_exact_and_the_answer_for_an_id_is_always_the_same() {
    for _ in 0..1_000 {
        let id = cbs::Uuid::now_v7().into_bytes();
        assert!(is_sampled(id, 1.0));
        assert!(!is_sampled(id, 0.0));
        assert_eq!(is_sampled(id, 0.5), is_sampled(id, 0.5));
    }
}

#[test]
fn notes_beyond_a_spans_share_are_counted() {
    let mut span = span(cbs::Uuid::now_v7());
    span.notes = (0..64).map(|_| note(1_024)).collect();
    bound(&mut span);
    assert!((20..32).contains(&span.notes.len()), "{}", span.notes.len());
    assert_eq!(span.notes.len() + span.notes_dropped as usize, 64);
}

#[test]
fn who_records_never_waits_for_who_exports() {
    let (queue, waiting) = crate::telemetry::otlp::testing::queue();
    let spans = spans(Some(queue));
    let record = |count: u64, flags: u8| {
        for _ in 0..count {
            let mut span = span(cbs::Uuid::now_v7());
            span.trace.flags = flags;
            spans.record(span);
        }
    };
    let dropped = || spans.counters.otlp_dropped().map(|(_, _, count)| count).sum::<u64>();
    // Spans that were not sampled take at most half of the capacity.
    record(2_000, 0);
    let others = waiting();
    assert!((1_000..1_100).contains(&others), "{others}");
    assert_eq!(dropped() + others, 2_000);
    record(1_000, 1);
    assert_eq!(waiting(), others + 1_000);
    record(1_000, 1);
    assert_eq!((spans.counters.spans_recorded(), waiting() + dropped()), (4_000, 4_000));
    assert!(waiting() <= 2_048, "{}", waiting());
}

#[test]
fn a_watcher_sees_every_span() {
    let spans = spans(None);
    let seen = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = seen.clone();
    spans.watch(Box::new(move |_| _ = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
    spans.record(span(cbs::Uuid::now_v7()));
    assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), 1);
}
