//! The limit of the lines that a process may log.

use std::{
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use cbs::Stats;

/// A bucket of tokens: `burst` at once, and `per_second` of them come back.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { per_second: f64::from(per_second), burst, tokens: burst, at: now }
    }

    /// Takes a token; returns `false` if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let since: Duration = now.saturating_duration_since(self.at);
        self.tokens = (self.tokens + since.as_secs_f64() * self.per_second).min(self.burst);
        self.at = now;
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

/// A bucket for any task, with the number of lines that were left out since the last report.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<(Bucket, u64)>);

impl Meter {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self(Mutex::new((Bucket::new(per_second, burst, Instant::now()), 0)))
    }

    /// True if a line may be logged now. A line that may not is counted.
    pub(crate) fn admit(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = state.0.take(Instant::now());
        if !admitted {
            state.1 += 1;
            Stats::lines_dropped().fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Returns the number of lines that were left out since the last call, and begins again at 0.
    pub(crate) fn left_out(&self) -> u64 {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told_once() {
        let meter = Meter::new(0, 2);
        let before = Stats::lines_dropped().load(Ordering::Relaxed);
        assert_eq!((0..5).filter(|_| meter.admit()).count(), 2);
        assert_eq!((meter.left_out(), meter.left_out()), (3, 0));
        assert!(
            Stats::lines_dropped().load(Ordering::Relaxed) >= before + 3,
            "the program's own count"
        );
    }

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 5, start);
        let mut passed = |after: Duration| (0..100).filter(|_| bucket.take(start + after)).count();
        assert_eq!(passed(Duration::ZERO), 5);
        assert_eq!(passed(Duration::from_millis(90)), 0);
        assert_eq!(passed(Duration::from_millis(200)), 2);
        assert_eq!(
            passed(Duration::from_secs(60)),
            5,
            "what is not used is not saved beyond the burst"
        );
    }
}
