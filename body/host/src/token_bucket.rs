//! The limit of what a cell may write to the log.

use std::time::Instant;

/// A bucket of tokens, one for each line: `burst` at once, and `per_second` of them come back. What
/// is not used is not saved beyond the burst.
#[derive(Debug)]
pub struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { per_second: f64::from(per_second), burst, tokens: burst, filled: now }
    }

    /// Takes a token; returns `false` if there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_second).min(self.burst);
        self.filled = now;
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 5, start);
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
