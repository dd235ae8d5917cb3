//! Bounds of the histogram of calls.

use std::time::Duration;

use cbs::LatencyBuckets;

/// Number of bounds. Beyond the last one is `+Inf`.
pub(super) const COUNT: usize = BOUNDS.len();

/// Bounds in microseconds, and in seconds as text: 64 µs, then always twice the bound before, up to
/// 8 s; beyond the usual limit of a call, in steps of factor four. Each is the end of a bucket of
/// [`cbs::Latency`], so that counts are exact.
pub(super) const BOUNDS: [(u64, &str); 20] = [
    (1 << 6, "0.000064"),
    (1 << 7, "0.000128"),
    (1 << 8, "0.000256"),
    (1 << 9, "0.000512"),
    (1 << 10, "0.001024"),
    (1 << 11, "0.002048"),
    (1 << 12, "0.004096"),
    (1 << 13, "0.008192"),
    (1 << 14, "0.016384"),
    (1 << 15, "0.032768"),
    (1 << 16, "0.065536"),
    (1 << 17, "0.131072"),
    (1 << 18, "0.262144"),
    (1 << 19, "0.524288"),
    (1 << 20, "1.048576"),
    (1 << 21, "2.097152"),
    (1 << 22, "4.194304"),
    (1 << 23, "8.388608"),
    (1 << 25, "33.554432"),
    (1 << 27, "134.217728"),
];

/// Returns the index of a call's bucket; [`COUNT`] if it is beyond the last bound.
pub(super) fn bucket_of(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    BOUNDS.partition_point(|(end, _)| *end <= micros)
}

/// Number of calls in each bucket, including those beyond the last bound.
pub(super) type Counts = [u64; COUNT + 1];

/// Adds the counts of `times`, each to the bucket that it belongs to.
pub(super) fn add(counts: &mut Counts, times: &LatencyBuckets) {
    let mut places =
        BOUNDS.iter().map(|(bound, _)| *bound).chain([u64::MAX]).zip(counts).peekable();
    for (end, more) in times.buckets() {
        // Both are in ascending order.
        while places.next_if(|(bound, _)| *bound < end).is_some() {}
        if let Some((_, count)) = places.peek_mut() {
            **count = count.saturating_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_where_a_bucket_ends_and_is_written_as_it_is() {
        for (bound, text) in BOUNDS {
            let mut below = LatencyBuckets::default();
            below.count(bound - 1);
            assert!(below.buckets().all(|(end, _)| end <= bound), "{bound} is no end of a bucket");
            let mut above = LatencyBuckets::default();
            above.count(bound);
            assert!(above.buckets().all(|(end, _)| end > bound), "{bound} is within a bucket");
            assert_eq!(text, format!("{}.{:06}", bound / 1_000_000, bound % 1_000_000));
        }
    }

    #[test]
    fn counts_are_those_of_all_calls_below_the_bound() {
        let micros = [0, 1, 63, 64, 65, 1_000, 9_000_000, 1_000_000_000];
        let mut times = LatencyBuckets::default();
        micros.iter().for_each(|micros| times.count(*micros));
        let mut counts = [1; COUNT + 1];
        add(&mut counts, &times);
        let mut below = 0;
        for ((bound, text), count) in BOUNDS.iter().zip(counts) {
            below += count - 1;
            let wanted = micros.iter().filter(|micros| *micros < bound).count();
            assert_eq!(below, wanted as u64, "le {text}");
        }
        assert_eq!(counts[COUNT], 2);
        for micros in micros {
            let bucket = bucket_of(Duration::from_micros(micros));
            assert_eq!(bucket, BOUNDS.iter().filter(|(bound, _)| micros >= *bound).count());
        }
    }
}
