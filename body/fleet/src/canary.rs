//! Decisions about a canary.

use std::fmt;

use model::CanaryRules;
use serde::{Deserialize, Serialize};

use crate::CanarySample;

/// Decision about a canary. The first verdict about a revision is the last: its key can be created
/// only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The new revision takes over.
    Promote,
    /// The old revision stays.
    RollBack,
}

impl Verdict {
    /// The verdict as it is stored: `promote` or `roll-back`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::RollBack => "roll-back",
        }
    }

    /// Reads a verdict from its stored text.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        [Self::Promote, Self::RollBack].into_iter().find(|verdict| verdict.as_str() == word)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Verdict with its reason, as it is stored: the verdict in the first line, then the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRecord {
    /// Verdict about the canary.
    pub verdict: Verdict,
    /// Reason for people; empty where none was given.
    pub reason: String,
}

impl VerdictRecord {
    /// Writes the record as it is stored: at most some 200 bytes of text.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{}\n{}", self.verdict, cbs::sanitize(&self.reason));
        text.truncate(text.floor_char_boundary(VERDICT_BYTES_MAX));
        text.into_bytes()
    }

    /// Reads a stored record; `None` for a text that no program of this version writes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let text =
            std::str::from_utf8(bytes).ok().filter(|text| text.len() <= VERDICT_BYTES_MAX)?;
        let (word, reason) = text.split_once('\n').unwrap_or((text, ""));
        Some(Self { verdict: Verdict::read(word)?, reason: reason.to_owned() })
    }
}

impl From<Verdict> for VerdictRecord {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, reason: String::new() }
    }
}

/// Judgement about a canary by its numbers of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It did well for long enough.
    Promote,
    /// It does worse than its rules allow, for this reason.
    RollBack(String),
    /// The numbers do not decide yet.
    Wait,
}

/// The most bytes of a stored record.
pub const VERDICT_BYTES_MAX: usize = 256;
/// Number of standard deviations that a judgement needs: one error in two hundred on each side.
const DEVIATIONS: f64 = 2.58;
/// Number of calls below which percentiles are not used.
const CALLS_FOR_TIMES: u64 = 100;

/// Judges a canary by the counted calls of both revisions, over all bodies.
///
/// - Errors: rolled back as soon as it is sure (by Wilson's interval, 1927) that more of its
///   calls fail than of the old revision's plus `errors_more_max` percent, and at least
///   `calls_min` were answered, or a fifth of these when all of them failed.
/// - Time: rolled back when, of 100 calls each at least, its 95th percentile is more than
///   `slower_max` percent of the old revision's.
/// - Promoted when it has been ready for `after_ms`, at least `calls_min` were answered, and its
///   errors are not above the limit. Without calls it waits.
#[must_use]
pub fn judge(
    rules: &CanaryRules,
    base: &CanarySample,
    canary: &CanarySample,
    ready_ms: u64,
) -> Judgement {
    let calls_min = rules.calls_min.max(1);
    let more = f64::from(rules.errors_more_max.min(100)) / 100.0;
    let all_failed = canary.errors >= canary.calls && canary.calls >= calls_min.div_ceil(5);
    if (canary.calls >= calls_min || all_failed) && surely_failing(canary) > ratio(base) + more {
        let errors = canary.errors;
        let calls = canary.calls;
        let base = format!("{} of {} of the old revision", base.errors, base.calls);
        return Judgement::RollBack(format!("{errors} of {calls} calls failed, and {base}"));
    }
    if base.calls >= CALLS_FOR_TIMES
        && canary.calls >= CALLS_FOR_TIMES.max(calls_min)
        && let (Some(old), Some(new)) = (base.times.percentile(95), canary.times.percentile(95))
        && u128::from(new) * 100 > u128::from(old) * u128::from(rules.slower_max.max(100))
    {
        return Judgement::RollBack(format!(
            "95 % of its calls took up to {new} us, the old revision's {old} us"
        ));
    }
    if ready_ms >= rules.after_ms
        && canary.calls >= calls_min
        && ratio(canary) <= ratio(base) + more
    {
        return Judgement::Promote;
    }
    Judgement::Wait
}

/// Numbers of calls are far below what a float holds exactly.
#[allow(clippy::cast_precision_loss)]
fn ratio(sample: &CanarySample) -> f64 {
    if sample.calls == 0 {
        0.0
    } else {
        sample.errors.min(sample.calls) as f64 / sample.calls as f64
    }
}

/// Returns the least share of errors that a revision surely has: the lower end of Wilson's
/// interval.
#[allow(clippy::cast_precision_loss)]
fn surely_failing(sample: &CanarySample) -> f64 {
    let calls = sample.calls.max(1) as f64;
    let share = ratio(sample);
    let square = DEVIATIONS * DEVIATIONS;
    let middle = share + square / (2.0 * calls);
    let width =
        DEVIATIONS * (share * (1.0 - share) / calls + square / (4.0 * calls * calls)).sqrt();
    (middle - width) / (1.0 + square / calls)
}
