//! The states of all entries of a manifest in one body, as few bytes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::ENTRIES_MAX;

/// Status of an entry of the manifest in one body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryStatus {
    /// No instance of it is here, and none should be.
    #[default]
    Absent,
    /// This body is an owner; nothing serves yet.
    Starting,
    /// This body is an owner; another revision serves while the wanted one starts.
    Updating,
    /// This body is an owner; the last start failed and nothing serves.
    Failed,
    /// This body is an owner; the last start failed and another revision serves on.
    Kept,
    /// This body is an owner and serves the wanted revision: it will go on until another body
    /// reports the same of itself.
    Ready,
    /// As [`Self::Ready`], and a canary is to run beside it and does not yet.
    Canary,
    /// As [`Self::Ready`], and a canary runs beside it and is being judged.
    Judged,
    /// As [`Self::Ready`] with the revision before the wanted one, whose canary was rolled back.
    RolledBack,
    /// This body serves the wanted revision, is no owner, and leaves when the owners are ready.
    Extra,
    /// As [`Self::Extra`], with another revision than the wanted one.
    Old,
    /// This body cannot run it; nothing of it serves here.
    Refused,
    /// This body cannot run it; another revision serves on until an owner is ready.
    RefusedOld,
    /// Nothing serves any more; calls are being finished.
    Draining,
    /// A status of a newer program.
    Unknown,
}

const LETTERS: [(EntryStatus, char); 15] = [
    (EntryStatus::Absent, '.'),
    (EntryStatus::Starting, 's'),
    (EntryStatus::Updating, 'u'),
    (EntryStatus::Failed, 'f'),
    (EntryStatus::Kept, 'k'),
    (EntryStatus::Ready, 'r'),
    (EntryStatus::Canary, 'c'),
    (EntryStatus::Judged, 'j'),
    (EntryStatus::RolledBack, 'b'),
    (EntryStatus::Extra, 'e'),
    (EntryStatus::Old, 'o'),
    (EntryStatus::Refused, 'x'),
    (EntryStatus::RefusedOld, 'y'),
    (EntryStatus::Draining, 'd'),
    (EntryStatus::Unknown, '?'),
];

impl EntryStatus {
    /// True if the body owns it and serves it, and goes on until another body reports the same.
    #[must_use]
    pub fn is_promise(self) -> bool {
        matches!(self, Self::Ready | Self::Canary | Self::Judged | Self::RolledBack)
    }

    /// True if nothing is under way: the status stays while nobody deploys and nothing fails.
    #[must_use]
    pub fn is_settled(self) -> bool {
        matches!(
            self,
            Self::Absent
                | Self::Ready
                | Self::Judged
                | Self::RolledBack
                | Self::Refused
                | Self::Unknown
        )
    }

    /// True if the body serves it and means to leave: it waits until the owners have received its
    /// presence.
    #[must_use]
    pub fn is_leaving(self) -> bool {
        matches!(self, Self::Extra | Self::Old | Self::RefusedOld)
    }

    /// True if the body cannot run the wanted revision.
    #[must_use]
    pub fn is_refused(self) -> bool {
        matches!(self, Self::Refused | Self::RefusedOld)
    }

    /// True if a revision other than the wanted one may be in the body.
    #[must_use]
    pub fn has_old(self) -> bool {
        matches!(
            self,
            Self::Updating
                | Self::Kept
                | Self::Old
                | Self::RefusedOld
                | Self::Draining
                | Self::Unknown
        )
    }
}

/// The statuses of all entries, in the manifest's order, as runs of equal ones. As text: one
/// character for the status and, if above one, the number of entries: `.4998 r s2`, without the
/// blanks. Ten thousand that all differ take 10,000 bytes, ten thousand alike take six.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct States {
    /// Each with the index after its last entry.
    runs: Vec<(EntryStatus, usize)>,
}

impl States {
    /// Adds the status of the next entry.
    pub fn push(&mut self, status: EntryStatus) {
        self.push_run(status, 1);
    }

    fn push_run(&mut self, status: EntryStatus, count: usize) {
        let end = self.len() + count;
        match self.runs.last_mut() {
            Some((last, last_end)) if *last == status => *last_end = end,
            _ => self.runs.push((status, end)),
        }
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.last().map_or(0, |(_, end)| *end)
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Status of the entry at this index of the manifest; absent beyond the end.
    #[must_use]
    pub fn at(&self, index: usize) -> EntryStatus {
        let run = self.runs.partition_point(|(_, end)| *end <= index);
        self.runs.get(run).map_or(EntryStatus::Absent, |(status, _)| *status)
    }

    /// Runs of equal statuses: each with the indices that it covers.
    pub fn runs(&self) -> impl Iterator<Item = (EntryStatus, std::ops::Range<usize>)> + '_ {
        let starts = std::iter::once(0).chain(self.runs.iter().map(|(_, end)| *end));
        starts.zip(&self.runs).map(|(start, (status, end))| (*status, start..*end))
    }

    /// Number of entries that have this status.
    #[must_use]
    pub fn count(&self, status: EntryStatus) -> usize {
        self.runs().filter(|(other, _)| *other == status).map(|(_, range)| range.len()).sum()
    }
}

impl fmt::Display for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (status, range) in self.runs() {
            let letter = LETTERS
                .iter()
                .find(|(other, _)| *other == status)
                .map_or('?', |(_, letter)| *letter);
            match range.len() {
                1 => write!(f, "{letter}")?,
                count => write!(f, "{letter}{count}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that does not encode states.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the states cannot be read: {0}")]
pub struct StatesError(&'static str);

impl std::str::FromStr for States {
    type Err = StatesError;

    fn from_str(text: &str) -> Result<Self, StatesError> {
        let mut states = Self::default();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter.is_ascii_digit() {
                return Err(StatesError(
                    "a number stands before the first letter or has too many digits",
                ));
            }
            let mut count = 0_usize;
            let mut digits = 0;
            while digits < 6
                && let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10))
            {
                letters.next();
                count = count * 10 + digit as usize;
                digits += 1;
            }
            let count = if digits == 0 { 1 } else { count };
            if count == 0 || states.len() + count > ENTRIES_MAX {
                return Err(StatesError(
                    "a run is empty, or there are more entries than a manifest holds",
                ));
            }
            let status = LETTERS
                .iter()
                .find(|(_, other)| *other == letter)
                .map_or(EntryStatus::Unknown, |(it, _)| *it);
            states.push_run(status, count);
        }
        Ok(states)
    }
}

impl Serialize for States {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for States {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
