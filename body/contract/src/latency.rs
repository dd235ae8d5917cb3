//! Durations of calls: counts by bucket of time, four buckets to a doubling.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Steps a doubling of the time is divided into: a quantile is right within a fifth.
const STEPS: u32 = 4;
/// 27 doublings from a microsecond: the last bucket begins at 134 s.
const BUCKETS: usize = 27 * STEPS as usize + 1;

/// Counts calls by their duration, without locks. Allocates its memory with the first call.
#[derive(Default)]
pub struct Latency(OnceLock<Box<[AtomicU64]>>);

impl Latency {
    /// Counts one call.
    pub fn record(&self, took: Duration) {
        let buckets = self.0.get_or_init(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = buckets.get(bucket_of(micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn read(&self) -> LatencyBuckets {
        let mut times = LatencyBuckets::default();
        for (index, bucket) in self.0.get().into_iter().flatten().enumerate() {
            match bucket.load(Ordering::Relaxed) {
                0 => {}
                count => times.add(u8::try_from(index).unwrap_or(u8::MAX), count),
            }
        }
        times
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Latency").field(&self.read()).finish()
    }
}

/// The bucket of a time: its power of two, and the two bits after the first, which are the quarter.
fn bucket_of(micros: u64) -> usize {
    let micros = micros.max(1);
    let power = micros.ilog2();
    let quarter =
        if power >= 2 { (micros >> (power - 2)) & 3 } else { (micros << (2 - power)) & 3 };
    (power as usize * STEPS as usize + quarter as usize).min(BUCKETS - 1)
}

/// Counts by bucket of time; empty buckets take no space. Adds up over instances and bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyBuckets(Vec<(u8, u64)>);

impl LatencyBuckets {
    /// Counts one call that took so many microseconds.
    pub fn count(&mut self, micros: u64) {
        self.add(u8::try_from(bucket_of(micros)).unwrap_or(u8::MAX), 1);
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (index, count) in &other.0 {
            self.add(*index, *count);
        }
    }

    /// Returns the counts since an earlier reading of the same counters. Counters that are lower
    /// than before have begun anew, and are taken whole.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut fresh = Self::default();
        for (index, count) in &self.0 {
            let before =
                earlier.0.iter().find(|(other, _)| other == index).map_or(0, |(_, count)| *count);
            match count.checked_sub(before).unwrap_or(*count) {
                0 => {}
                more => fresh.add(*index, more),
            }
        }
        fresh
    }

    fn add(&mut self, index: u8, count: u64) {
        match self.0.binary_search_by_key(&index, |(other, _)| *other) {
            Ok(at) => {
                if let Some((_, sum)) = self.0.get_mut(at) {
                    *sum = sum.saturating_add(count);
                }
            }
            Err(at) => self.0.insert(at, (index, count)),
        }
    }

    /// Number of calls that were counted.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.iter().map(|(_, count)| *count).fold(0, u64::saturating_add)
    }

    /// The buckets that are not empty, in order: the time in microseconds below which their calls
    /// stayed, and how many there were. The last bucket of all has no such time: `u64::MAX`.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(index, count)| (end_of(*index), *count))
    }

    /// The time in microseconds, rounded up to its bucket's end, within which so many percent of
    /// the calls were answered; `None` without calls.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let all = self.calls();
        let wanted = (u128::from(all) * u128::from(percent)).div_ceil(100);
        let mut sum = 0_u128;
        for (index, count) in &self.0 {
            sum += u128::from(*count);
            if sum >= wanted && all > 0 {
                let (power, quarter) = parts(*index);
                return Some(((quarter + 5) << power) / 4);
            }
        }
        None
    }
}

fn parts(index: u8) -> (u32, u64) {
    ((u32::from(index) / STEPS).min(40), u64::from(index) % u64::from(STEPS))
}

fn end_of(index: u8) -> u64 {
    let (power, quarter) = parts(index);
    // Below four microseconds quarters are no whole numbers: the end is the next one.
    if usize::from(index) >= BUCKETS - 1 { u64::MAX } else { ((quarter + 5) << power).div_ceil(4) }
}

impl Serialize for LatencyBuckets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LatencyBuckets {
    /// Reads the counts of another body: sorts them anew, and refuses buckets that do not exist.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut times = Self::default();
        for (index, count) in Vec::<(u8, u64)>::deserialize(deserializer)? {
            if usize::from(index) >= BUCKETS {
                return Err(D::Error::custom("a time has a bucket that there is not"));
            }
            times.add(index, count);
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_quarter() {
        let latency = Latency::default();
        assert_eq!(latency.read().percentile(95), None);
        for micros in 1..=1000 {
            latency.record(Duration::from_micros(micros));
        }
        for percent in [1, 10, 50, 95, 99, 100] {
            let found = latency.read().percentile(percent).unwrap_or_default();
            let exact = percent * 10;
            assert!(
                found >= exact && found <= exact * 5 / 4 + 2,
                "{percent} %: {found} for {exact}"
            );
        }
    }

    #[test]
    fn every_time_lies_below_the_end_of_its_bucket_and_not_below_the_one_before() {
        for micros in (0..5_000).chain([10_000, 999_999, 130_000_000, u64::MAX]) {
            let mut times = LatencyBuckets::default();
            times.count(micros);
            let Some((end, 1)) = times.buckets().next() else { unreachable!("one was counted") };
            assert!(micros < end || end == u64::MAX, "{micros} in a bucket that ends at {end}");
            let before = bucket_of(micros)
                .checked_sub(1)
                .and_then(|index| u8::try_from(index).ok())
                .map_or(0, end_of);
            assert!(
                micros.max(1) >= before || micros < 4,
                "{micros} lies before its bucket, which begins at {before}"
            );
        }
    }

    #[test]
    fn what_was_counted_since_is_the_difference() {
        let latency = Latency::default();
        latency.record(Duration::from_micros(10));
        let earlier = latency.read();
        latency.record(Duration::from_micros(10));
        latency.record(Duration::from_secs(1));
        let fresh = latency.read().since(&earlier);
        assert_eq!((fresh.calls(), latency.read().calls()), (2, 3));
        assert_eq!(
            earlier.since(&latency.read()).calls(),
            1,
            "counts that begin anew are taken whole"
        );
    }
}
