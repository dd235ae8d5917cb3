//! The name of one call of a run: which step, which item, which attempt.

use std::{fmt, str::FromStr};

use cbs::Text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names one call of a run. Its text is what a journal holds and a person reads:
///
/// | text | the call |
/// |---|---|
/// | `greet` | the first attempt of the step `greet` |
/// | `greet#3` | its third attempt |
/// | `greet[7]#2` | the second attempt for the item with index 7 of an `each` |
/// | `greet/catch` | the step's fallback |
///
/// ```
/// let call: flow::CallId = "greet[7]#2".parse()?;
/// assert_eq!((call.step(), call.item(), call.attempt()), ("greet", Some(7), 2));
/// assert_eq!(call.to_string(), "greet[7]#2");
/// # Ok::<(), flow::CallIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    step: Text,
    item: Option<u32>,
    /// From 1; 0 is the fallback.
    attempt: u32,
}

impl CallId {
    /// An attempt of a step, counted from 1, for one item where the step has an `each`.
    pub(crate) fn attempt_of(step: &Text, item: Option<u32>, attempt: u32) -> Self {
        Self { step: step.clone(), item, attempt }
    }

    /// The fallback of a step.
    pub(crate) fn fallback_of(step: &Text) -> Self {
        Self { step: step.clone(), item: None, attempt: 0 }
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

    /// Which attempt it is, from 1; a fallback has only a first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.max(1)
    }

    /// Whether it is the call of the step's `catch`.
    #[must_use]
    pub fn is_fallback(&self) -> bool {
        self.attempt == 0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step)?;
        if let Some(item) = self.item {
            write!(f, "[{item}]")?;
        }
        match self.attempt {
            0 => f.write_str("/catch"),
            1 => Ok(()),
            attempt => write!(f, "#{attempt}"),
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
#[error("`{0}` names no call: write `step`, `step#2`, `step[0]`, `step[0]#2` or `step/catch`")]
pub struct CallIdError(String);

impl FromStr for CallId {
    type Err = CallIdError;

    fn from_str(text: &str) -> Result<Self, CallIdError> {
        parse(text).ok_or_else(|| CallIdError(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<CallId> {
    let (rest, attempt) = match text.split_once('#') {
        Some((rest, attempt)) => (rest, attempt.parse().ok().filter(|n| *n > 1)?),
        None => text.strip_suffix("/catch").map_or((text, 1), |rest| (rest, 0)),
    };
    let (step, item) = match rest.split_once('[') {
        Some((step, item)) => (step, Some(item.strip_suffix(']')?.parse().ok()?)),
        None => (rest, None),
    };
    (crate::plan::is_step_id(step) && !(attempt == 0 && item.is_some())).then(|| CallId { step: step.into(), item, attempt })
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
