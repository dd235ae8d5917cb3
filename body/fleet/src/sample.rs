//! Counters of a revision's calls, by which a canary is judged.

use cbs::LatencyBuckets;
use serde::{Deserialize, Serialize};

/// Calls of one revision, their errors and their durations. Adds up over instances and bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CanarySample {
    /// Calls that were answered, with a reply or an error.
    pub calls: u64,
    /// Of these, with an error that is the callee's fault: `cell-failed`, `internal`,
    /// `timeout`, `unavailable`. A caller's bad request does not count against a canary.
    pub errors: u64,
    /// Durations of the calls.
    pub times: LatencyBuckets,
}

impl CanarySample {
    /// Counts one call that took so many microseconds.
    pub fn count(&mut self, micros: u64, failed: bool) {
        self.calls = self.calls.saturating_add(1);
        self.errors = self.errors.saturating_add(u64::from(failed));
        self.times.count(micros);
    }

    /// Adds the sample of another body.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.errors = self.errors.saturating_add(other.errors);
        self.times.merge(&other.times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_quarter() {
        let mut sample = CanarySample::default();
        assert_eq!(sample.times.percentile(95), None);
        for micros in 1..=1000 {
            sample.count(micros, micros % 10 == 0);
        }
        assert_eq!((sample.calls, sample.errors), (1000, 100));
        for percent in [1, 10, 50, 95, 99, 100] {
            let found = sample.times.percentile(percent).unwrap_or_default();
            let exact = percent * 10;
            assert!(
                found >= exact && found <= exact * 5 / 4 + 2,
                "{percent} %: {found} for {exact}"
            );
        }
    }

    #[test]
    fn samples_of_bodies_add_up() -> Result<(), serde_json::Error> {
        let mut one = CanarySample::default();
        let mut two = CanarySample::default();
        one.count(100, false);
        two.count(u64::MAX, true);
        two.count(0, false);
        let text = serde_json::to_string(&two)?;
        one.add(&serde_json::from_str(&text)?);
        assert_eq!((one.calls, one.errors, one.times.percentile(1)), (3, 1, Some(1)));
        assert!(serde_json::from_str::<CanarySample>(r#"{"times": [[200, 1]]}"#).is_err());
        Ok(())
    }
}
