//! Heads: the manifest that holds now, its deployer, and the heads before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, json};

/// The most bytes of a head as JSON.
pub const HEAD_BYTES_MAX: usize = 4096;
/// The most characters of a head's message and of its author; what is longer is cut.
pub const HEAD_TEXT_MAX: usize = 500;
/// Number of heads that history keeps, the present one among them.
pub const HISTORY_MAX: usize = 100;

/// A head names the manifest that holds. Unknown fields of newer programs are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The root of the manifest.
    pub manifest: ContentHash,
    /// The hash of the head before; `None` for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ContentHash>,
    /// 1 for the first head, one more for each.
    pub number: u64,
    /// Name of the deployer, as the deployer wrote it: a claim for people.
    #[serde(default)]
    pub who: String,
    /// Time of the deploy, by the deployer's clock, in milliseconds since 1970: for people, nothing
    /// is decided by it.
    #[serde(default)]
    pub when_ms: u64,
    /// Reason of the deploy, in a line.
    #[serde(default)]
    pub message: String,
    /// The number of the head whose manifest a rollback brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
}

/// Reason why a head cannot be read, or is not in the history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The value of a head's key cannot be read.
    #[error("the current generation cannot be read: {0}")]
    Unreadable(String),
    /// There is no head of this number.
    #[error("history has no generation {number}; it reaches from {first} to {last}")]
    NoSuchHead {
        /// Number that was asked for.
        number: u64,
        /// The oldest that is kept.
        first: u64,
        /// The present one.
        last: u64,
    },
}

impl Head {
    /// Returns the head that follows `parent` (or the first one) with this manifest.
    #[must_use]
    pub fn after(
        parent: Option<&Self>,
        manifest: ContentHash,
        who: &str,
        when_ms: u64,
        message: &str,
    ) -> Self {
        let cut = |text: &str| text.chars().take(HEAD_TEXT_MAX).collect();
        Self {
            manifest,
            parent: parent.map(Self::hash),
            number: parent.map_or(1, |parent| parent.number.saturating_add(1)),
            who: cut(who),
            when_ms,
            message: cut(message),
            restores: None,
        }
    }

    /// Returns the head that brings back the manifest of an older one: history goes on, it is never
    /// undone.
    #[must_use]
    pub fn rollback(&self, to: &Self, who: &str, when_ms: u64) -> Self {
        let message = format!("rollback to {}", to.number);
        Self {
            restores: Some(to.number),
            ..Self::after(Some(self), to.manifest, who, when_ms, &message)
        }
    }

    /// The head as it is stored: canonical JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Texts and numbers alone: it can always be written.
        json::canonical(self).unwrap_or_default()
    }

    /// Reads a head.
    ///
    /// # Errors
    /// Too many bytes, or no head.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        if bytes.len() > HEAD_BYTES_MAX {
            let reason = format!("it has {} bytes, {HEAD_BYTES_MAX} at the most", bytes.len());
            return Err(HeadError::Unreadable(reason));
        }
        serde_json::from_slice(bytes).map_err(|error| HeadError::Unreadable(error.to_string()))
    }

    /// The head's own name: the hash of what is stored.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(&self.encode())
    }
}

/// The heads that are kept, oldest first. Read as the values of the keys `history.*` and of `head`,
/// in any order: a deployer that replaces a head has kept it in history before, so that nothing is
/// missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    heads: Vec<Head>,
}

impl History {
    /// Returns a history of these heads, from the present one (of the highest number) back to the
    /// first that is missing. There is one head of each number: the deployer that put `history.<n>`
    /// had read it as the present head.
    #[must_use]
    pub fn new(heads: impl IntoIterator<Item = Head>) -> Self {
        let mut by_number: BTreeMap<u64, Head> =
            heads.into_iter().map(|head| (head.number, head)).collect();
        let mut heads = Vec::new();
        while let Some((number, head)) = by_number.pop_last() {
            if heads.last().is_some_and(|later: &Head| later.number != number.saturating_add(1)) {
                break;
            }
            heads.push(head);
        }
        heads.reverse();
        Self { heads }
    }

    /// The heads, oldest first.
    #[must_use]
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The present head.
    #[must_use]
    pub fn latest(&self) -> Option<&Head> {
        self.heads.last()
    }

    /// The head of this number.
    ///
    /// # Errors
    /// It is not kept.
    pub fn get(&self, number: u64) -> Result<&Head, HeadError> {
        self.heads.iter().find(|head| head.number == number).ok_or_else(|| HeadError::NoSuchHead {
            number,
            first: self.heads.first().map_or(0, |head| head.number),
            last: self.latest().map_or(0, |head| head.number),
        })
    }

    /// The head that `cbs rollback` without a number goes back to: the latest before the present
    /// one with another manifest.
    #[must_use]
    pub fn before(&self) -> Option<&Head> {
        let latest = self.latest()?;
        self.heads.iter().rev().find(|head| head.manifest != latest.manifest)
    }

    /// Keeps the newest heads. Returns the numbers of the removed ones; their keys are to be
    /// deleted before any content is.
    pub fn prune(&mut self, keep: usize) -> Vec<u64> {
        let gone = self.heads.len().saturating_sub(keep.max(1));
        self.heads.drain(..gone).map(|head| head.number).collect()
    }
}
