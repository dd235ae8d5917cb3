//! The limit of the lines that a process may log.

use std::{
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Instant,
};

use cbs::Stats;
use host::TokenBucket;

/// A bucket for any task, with the number of lines that were left out since the last report.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<(TokenBucket, u64)>);

impl Meter {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self(Mutex::new((TokenBucket::new(per_second, burst, Instant::now()), 0)))
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
}
