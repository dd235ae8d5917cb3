//! Presence: the report of a body to the fleet each second, with its identity, its runtimes and the
//! status of its entries.

use std::collections::BTreeMap;

use cbs::BodyId;
use serde::{Deserialize, Serialize};

use crate::{
    CanarySample, ContentHash, Entry, EntryStatus, FLOW_RUNTIME, NATIVE_RUNTIME, Revision, States,
};

/// The most bytes of a presence.
pub const PRESENCE_BYTES_MAX: usize = 64 * 1024;
/// The most labels of a body, and the most bytes of a label's key or value.
pub const LABELS_MAX: (usize, usize) = (32, 63);
/// Number of refusals and failures that a presence holds as texts; the states hold all.
pub const TROUBLES_MAX: usize = 24;
/// The most characters of a reason.
pub const REASON_MAX: usize = 160;
/// Number of canaries that a presence has samples for.
pub const SAMPLES_MAX: usize = 8;
/// Number of leaving bodies that a presence can acknowledge; further ones have to wait for their
/// turn.
pub const OBSERVED_MAX: usize = 64;

/// Identity of a body, and its runtimes; stays the same from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The body.
    pub body: BodyId,
    /// Number of this start of the body: another number after each start, chosen at random by the
    /// driver.
    pub incarnation: u64,
    /// The version of the program.
    #[serde(default)]
    pub program: String,
    /// Operating system and processor, for example `linux-x86_64`.
    #[serde(default)]
    pub platform: String,
    /// For `place` and `spread`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Runtimes that it has, with versions: `python` -> `3.11.2`. `flow` need not be named.
    #[serde(default)]
    pub runtimes: BTreeMap<String, String>,
}

impl Facts {
    /// Reason, for people, why the runtime or the platform does not suit an entry; `None` where
    /// both do.
    #[must_use]
    pub fn missing_runtime(&self, entry: &Entry) -> Option<String> {
        let needs = &entry.needs;
        if !needs.platforms.is_empty() && !needs.platforms.contains(&self.platform) {
            let built: Vec<&str> = needs.platforms.iter().map(String::as_str).collect();
            return Some(format!(
                "it is built for {}, this body is {}",
                built.join(", "),
                self.platform
            ));
        }
        if needs.runtime == FLOW_RUNTIME {
            return None;
        }
        let Some(version) = self.runtimes.get(&needs.runtime) else {
            let hint = if needs.runtime == NATIVE_RUNTIME {
                ""
            } else {
                "; `cbs doctor` says how to get it"
            };
            return Some(format!("this body has no runtime {}{hint}", needs.runtime));
        };
        let wanted = needs.version.as_deref().unwrap_or_default();
        let rest = version.strip_prefix(wanted);
        if wanted.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
            return None;
        }
        Some(format!("it needs {} {wanted}, this body has {version}", needs.runtime))
    }

    /// True if the body has the labels that an entry asks for.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        entry.place.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }

    /// Returns the same facts within their limits.
    #[must_use]
    pub(crate) fn bounded(mut self) -> Self {
        // Control characters would take six bytes each.
        let fits =
            |text: &String| text.len() <= LABELS_MAX.1 && !text.chars().any(char::is_control);
        self.labels.retain(|key, value| fits(key) && fits(value));
        self.runtimes.retain(|key, value| fits(key) && fits(value));
        while self.labels.len() > LABELS_MAX.0 {
            self.labels.pop_last();
        }
        while self.runtimes.len() > LABELS_MAX.0 {
            self.runtimes.pop_last();
        }
        self.program.truncate(self.program.floor_char_boundary(LABELS_MAX.1));
        self.platform.truncate(self.platform.floor_char_boundary(LABELS_MAX.1));
        self
    }
}

/// Head that a body has applied: the order of its states is that of this head's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The head's number, for people.
    pub number: u64,
    /// The head's hash.
    pub head: ContentHash,
}

/// Sequence number of a presence; later presences of one start of a body are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeartbeatSequence {
    /// Number of this start of the body.
    pub incarnation: u64,
    /// Number of the presence since that start.
    pub number: u64,
}

/// Reason why an entry does not run here: a refusal or a failed start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The entry's index in the manifest.
    pub index: usize,
    /// Reason for people.
    pub reason: String,
}

/// Samples of the revisions of a canary in one body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanarySamples {
    /// The entry's index in the manifest.
    pub index: usize,
    /// The new revision: it distinguishes this canary from a later one.
    pub revision: Revision,
    /// The old revision's calls since both ran.
    pub base: CanarySample,
    /// The new revision's calls.
    pub canary: CanarySample,
}

/// A body's lease. Fields of newer programs are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Identity of the body, and its runtimes.
    #[serde(flatten)]
    pub facts: Facts,
    /// Number of the presence since this start of the body.
    pub beat: u64,
    /// The head that it has applied; `None` before the first.
    #[serde(default)]
    pub applied: Option<Applied>,
    /// Status of each entry of that head.
    #[serde(default)]
    pub states: States,
    /// True if it is about to end: it takes nothing new.
    #[serde(default)]
    pub draining: bool,
    /// Last presence that this body has received from each body that has something to leave.
    #[serde(rename = "heard", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub observed: BTreeMap<BodyId, HeartbeatSequence>,
    /// Refusals and failures as texts, as many as fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
    /// Samples of canaries, as many as fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tallies: Vec<CanarySamples>,
    /// Reason why a newer head than `applied` is not applied: not whole yet, or not understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
}

/// A lease that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the presence cannot be read: {0}")]
pub struct PresenceError(String);

impl Presence {
    /// Writes the lease as it is stored: JSON of at most [`PRESENCE_BYTES_MAX`]. Fields that would
    /// not fit are left out in this order: samples of canaries, texts about troubles. The fields
    /// that decide about placement always fit.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut presence = self.clone();
        presence.troubles.truncate(TROUBLES_MAX);
        for trouble in &mut presence.troubles {
            trouble.reason = trouble.reason.chars().take(REASON_MAX).collect();
        }
        presence.tallies.truncate(SAMPLES_MAX);
        presence.stuck = presence.stuck.map(|reason| reason.chars().take(REASON_MAX).collect());
        while presence.observed.len() > OBSERVED_MAX {
            presence.observed.pop_last();
        }
        presence.facts = presence.facts.bounded();
        loop {
            // Texts and numbers alone: it can always be written.
            let bytes = serde_json::to_vec(&presence).unwrap_or_default();
            if bytes.len() <= PRESENCE_BYTES_MAX
                || presence.tallies.pop().is_none() && presence.troubles.pop().is_none()
            {
                return bytes;
            }
        }
    }

    /// Reads a lease.
    ///
    /// # Errors
    /// Too many bytes, or no presence.
    pub fn decode(bytes: &[u8]) -> Result<Self, PresenceError> {
        if bytes.len() > PRESENCE_BYTES_MAX {
            return Err(PresenceError(format!(
                "it has {} bytes, {PRESENCE_BYTES_MAX} at the most",
                bytes.len()
            )));
        }
        serde_json::from_slice(bytes).map_err(|error| PresenceError(error.to_string()))
    }

    /// Sequence number of this presence.
    #[must_use]
    pub fn beat(&self) -> HeartbeatSequence {
        HeartbeatSequence { incarnation: self.facts.incarnation, number: self.beat }
    }

    /// True if the body has something to leave: it waits until the owners have received its
    /// presence.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.states.runs().any(|(status, _)| status.is_leaving())
    }

    /// Status of the entry at this index, if the body has applied this head.
    #[must_use]
    pub fn status(&self, head: ContentHash, index: usize) -> Option<EntryStatus> {
        self.applied.is_some_and(|applied| applied.head == head).then(|| self.states.at(index))
    }
}
