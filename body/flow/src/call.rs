//! The name of one call of a run: its step, item and attempt.

use std::{fmt, str::FromStr};

use cbs::{Text, Uuid};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names one call of a run. Its text is what a journal holds and a person reads:
///
/// | text | the call |
/// |---|---|
/// | `greet` | the first attempt of the step `greet` |
/// | `greet#2` | its second retry |
/// | `greet[7]#1` | the first retry for the item with index 7 of an `each` |
/// | `greet/catch` | the step's fallback |
///
/// ```
/// let call: flow::CallId = "greet[7]#1".parse()?;
/// assert_eq!((call.step(), call.item(), call.attempt()), ("greet", Some(7), 1));
/// assert_eq!(call.to_string(), "greet[7]#1");
/// # Ok::<(), flow::CallIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    step: Text,
    item: Option<u32>,
    /// `None` is the fallback.
    attempt: Option<u32>,
}

impl CallId {
    /// An attempt of a step, from 0, for one item where the step has an `each`.
    pub(crate) fn attempt_of(step: &Text, item: Option<u32>, attempt: u32) -> Self {
        Self { step: step.clone(), item, attempt: Some(attempt) }
    }

    /// The fallback of a step.
    pub(crate) fn fallback_of(step: &Text) -> Self {
        Self { step: step.clone(), item: None, attempt: None }
    }

    /// The step's id.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The item's index, from 0, where the step has an `each`.
    #[must_use]
    pub fn item(&self) -> Option<u32> {
        self.item
    }

    /// 0 for the first attempt, one more for each retry, as in an envelope; a fallback is not
    /// retried.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.unwrap_or(0)
    }

    /// True if it is the call of the step's `catch`.
    #[must_use]
    pub fn is_fallback(&self) -> bool {
        self.attempt.is_none()
    }

    /// Id of the call's envelope in the run with this id: a UUIDv8 (RFC 9562, appendix B.2) of the
    /// run's id and the call's text without its attempt. The attempts of a call have one id, as
    /// everywhere a retry keeps its id and raises the envelope's `attempt`; a retry of the step and
    /// one of the called cell's policy may have the same number. Every other call of the run, the
    /// fallback too, has another id.
    ///
    /// ```
    /// let run = "01890a5d-ac96-774b-bcce-b302099a8057".parse()?;
    /// let call: flow::CallId = "greet[7]#1".parse()?;
    /// assert_eq!(call.id_in(run).to_string(), "a3de76a6-37da-8ef7-aad6-4e6453043642");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn id_in(&self, run: Uuid) -> Uuid {
        crate::id::derived(
            run,
            &Self { attempt: self.attempt.map(|_| 0), ..self.clone() }.to_string(),
        )
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step)?;
        if let Some(item) = self.item {
            write!(f, "[{item}]")?;
        }
        match self.attempt {
            None => f.write_str("/catch"),
            Some(0) => Ok(()),
            Some(attempt) => write!(f, "#{attempt}"),
        }
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that names no call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no call: write `step`, `step#1`, `step[0]`, `step[0]#1` or `step/catch`")]
pub struct CallIdError(String);

impl FromStr for CallId {
    type Err = CallIdError;

    fn from_str(text: &str) -> Result<Self, CallIdError> {
        parse(text).ok_or_else(|| CallIdError(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<CallId> {
    let (rest, attempt) = match (text.split_once('#'), text.strip_suffix("/catch")) {
        (Some((rest, attempt)), _) => (rest, Some(number(attempt).filter(|attempt| *attempt > 0)?)),
        (None, Some(rest)) => (rest, None),
        (None, None) => (text, Some(0)),
    };
    let (step, item) = match rest.split_once('[') {
        Some((step, item)) => (step, Some(number(item.strip_suffix(']')?)?)),
        None => (rest, None),
    };
    let is_call = crate::plan::is_step_id(step) && (attempt.is_some() || item.is_none());
    is_call.then(|| CallId { step: step.into(), item, attempt })
}

/// Reads a number in its printed form: no sign, no leading zeros.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
