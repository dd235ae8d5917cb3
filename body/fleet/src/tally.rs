//! What a revision's calls came to: what a canary is judged by.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Steps a doubling of the time is divided into: a quantile is right within a fifth.
const STEPS: u32 = 4;
/// 27 doublings from a microsecond: the last bucket begins at 134 s.
const BUCKETS: usize = 27 * STEPS as usize + 1;

/// Calls of one revision, their errors and how long they took. Adds up over instances and bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Calls that were answered, with a reply or an error.
    pub calls: u64,
    /// Of these, with an error that is the callee's fault: `cell-failed`, `internal`,
    /// `timeout`, `unavailable`. A caller's bad request says nothing against a canary.
    pub errors: u64,
    /// How long they took.
    pub times: Times,
}

impl Tally {
    /// Counts one call that took so many microseconds.
    pub fn count(&mut self, micros: u64, failed: bool) {
        self.calls = self.calls.saturating_add(1);
        self.errors = self.errors.saturating_add(u64::from(failed));
        self.times.count(micros);
    }

    /// Adds another body's.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.errors = self.errors.saturating_add(other.errors);
        for (index, count) in &other.times.0 {
            self.times.add(*index, *count);
        }
    }
}

/// Counts by bucket of time, four to a doubling; empty buckets take no room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times(Vec<(u8, u64)>);

impl Times {
    fn count(&mut self, micros: u64) {
        let micros = micros.max(1);
        let power = micros.ilog2();
        // The two bits after the first: the quarter of the doubling.
        let quarter = if power >= 2 { (micros >> (power - 2)) & 3 } else { (micros << (2 - power)) & 3 };
        let index = (power as usize * STEPS as usize + quarter as usize).min(BUCKETS - 1);
        self.add(u8::try_from(index).unwrap_or(u8::MAX), 1);
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

    /// The time in microseconds, rounded up to its bucket's end, within which so many percent of
    /// the calls were answered; `None` without calls.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.0.iter().map(|(_, count)| *count).fold(0, u64::saturating_add);
        let wanted = (u128::from(all) * u128::from(percent)).div_ceil(100);
        let mut sum = 0_u128;
        for (index, count) in &self.0 {
            sum += u128::from(*count);
            if sum >= wanted && all > 0 {
                let (power, quarter) = (u32::from(*index) / STEPS, u64::from(*index) % u64::from(STEPS));
                return Some(((quarter + 5) << power.min(40)) / 4);
            }
        }
        None
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Times {
    /// Other bodies' numbers: sorted anew, buckets that there are not are refused.
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
        let mut tally = Tally::default();
        assert_eq!(tally.times.percentile(95), None);
        for micros in 1..=1000 {
            tally.count(micros, micros % 10 == 0);
        }
        assert_eq!((tally.calls, tally.errors), (1000, 100));
        for percent in [1, 10, 50, 95, 99, 100] {
            let (found, exact) = (tally.times.percentile(percent).unwrap_or_default(), percent * 10);
            assert!(found >= exact && found <= exact * 5 / 4 + 2, "{percent} %: {found} for {exact}");
        }
    }

    #[test]
    fn tallies_of_bodies_add_up() -> Result<(), serde_json::Error> {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        one.count(100, false);
        two.count(u64::MAX, true);
        two.count(0, false);
        let text = serde_json::to_string(&two)?;
        one.add(&serde_json::from_str(&text)?);
        assert_eq!((one.calls, one.errors, one.times.percentile(1)), (3, 1, Some(1)));
        assert!(serde_json::from_str::<Tally>(r#"{"times": [[200, 1]]}"#).is_err());
        Ok(())
    }
}
