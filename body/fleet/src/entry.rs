//! One cell or flow of a manifest: its version, and all data that placement needs.

use std::collections::{BTreeMap, BTreeSet};

use model::{CanaryRules, Replicas, Rollout};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ContentHash, Revision, Verdict};

/// The runtime of flows: every body has it.
pub const FLOW_RUNTIME: &str = "flow";
/// The runtime of cells that are linked into the program: only a body that has the cell can run it.
pub const NATIVE_RUNTIME: &str = "rust";
/// Time limit of a start where the spec states none.
pub const START_MS_DEFAULT: u64 = 30_000;
/// Time limit for an instance to finish its calls where the spec states none.
pub const DRAIN_MS_DEFAULT: u64 = 30_000;
/// The most bytes that one entry may take as JSON: a leaf of the manifest holds some hundred.
pub const ENTRY_BYTES_MAX: usize = 2048;

/// Version of an instance: the spec and the code that it is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The spec: the object `spec.<hash>`.
    pub spec: ContentHash,
    /// The code of a Python, Dart or exec cell: the object of this name in the store of bundles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<ContentHash>,
    /// Revision of the parts of both that an instance depends on: while it stays the same,
    /// instances stay.
    pub revision: Revision,
}

impl Version {
    /// Returns a version whose revision follows from all of the spec and the bundle. A caller that
    /// knows that a part of the spec concerns placement alone makes the revision from the rest.
    #[must_use]
    pub fn new(spec: ContentHash, bundle: Option<ContentHash>) -> Self {
        let bundle_text = bundle.map(|hash| hash.to_string()).unwrap_or_default();
        let revision = Revision::of([spec.to_string().as_bytes(), bundle_text.as_bytes()]);
        Self { spec, bundle, revision }
    }
}

/// Requirements on a body that is to run the entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// `rust`, `python`, `dart`, `exec` or [`FLOW_RUNTIME`].
    pub runtime: String,
    /// The runtime's version, or the beginning of it: `3.11` accepts `3.11.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Platforms that its bundle was built for, for example `linux-x86_64`; empty: any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub platforms: BTreeSet<String>,
}

/// One cell or flow of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Version that runs; of a canary, the new version.
    pub version: Version,
    /// Of a canary, the old version that it runs beside. The deployer takes it from the
    /// manifest that it replaces; without one a canary is an ordinary rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Version>,
    /// Requirements on a body.
    pub needs: Requirements,
    /// Number of bodies.
    #[serde(default, skip_serializing_if = "is_default")]
    pub replicas: Replicas,
    /// A label's key: replicas go to bodies whose values of it differ, as far as there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<String>,
    /// Labels that a body must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub place: BTreeMap<String, String>,
    /// Manner in which a new revision takes over.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollout: Rollout,
    /// True if it runs at all.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
    /// Time limit of a start, in milliseconds.
    #[serde(default = "start_default", skip_serializing_if = "is_start_default")]
    pub start_ms: u64,
    /// Time limit for an instance to finish its calls, in milliseconds.
    #[serde(default = "drain_default", skip_serializing_if = "is_drain_default")]
    pub drain_ms: u64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference
fn is_yes(value: &bool) -> bool {
    *value
}

fn start_default() -> u64 {
    START_MS_DEFAULT
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_start_default(value: &u64) -> bool {
    *value == START_MS_DEFAULT
}

fn drain_default() -> u64 {
    DRAIN_MS_DEFAULT
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_drain_default(value: &u64) -> bool {
    *value == DRAIN_MS_DEFAULT
}

/// Versions that an entry wants to run now: the version that answers, and a canary beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Version that must be ready before any other stops.
    pub main: &'a Version,
    /// The canary, and its rules.
    pub side: Option<(&'a Version, &'a CanaryRules)>,
}

impl Entry {
    /// An entry with one replica and all else by default.
    #[must_use]
    pub fn new(version: Version, runtime: &str) -> Self {
        Self {
            version,
            base: None,
            needs: Requirements { runtime: runtime.to_owned(), ..Requirements::default() },
            replicas: Replicas::default(),
            spread: None,
            place: BTreeMap::new(),
            rollout: Rollout::default(),
            enabled: true,
            start_ms: START_MS_DEFAULT,
            drain_ms: DRAIN_MS_DEFAULT,
        }
    }

    /// Returns the versions that are to run, given the verdict about the canary.
    #[must_use]
    pub fn wanted(&self, verdict: Option<Verdict>) -> Wanted<'_> {
        match (&self.rollout, &self.base) {
            (Rollout::Canary(rules), Some(base)) if base.revision != self.version.revision => {
                match verdict {
                    None => Wanted { main: base, side: Some((&self.version, rules)) },
                    Some(Verdict::RollBack) => Wanted { main: base, side: None },
                    Some(Verdict::Promote) => Wanted { main: &self.version, side: None },
                }
            }
            _ => Wanted { main: &self.version, side: None },
        }
    }

    /// Returns the same entry as it is deployed in the place of another, about which this verdict
    /// was given: a canary runs beside the version that answers now. With nothing to run beside it
    /// is an ordinary rollout.
    #[must_use]
    pub fn after(mut self, replaced: Option<&Self>, verdict: Option<Verdict>) -> Self {
        self.base = match (&self.rollout, replaced) {
            (Rollout::Canary(_), Some(old)) if old.version.revision == self.version.revision => {
                old.base.clone()
            }
            (Rollout::Canary(_), Some(old)) if old.enabled => {
                Some(old.wanted(verdict).main.clone())
            }
            _ => None,
        };
        self
    }

    /// Returns the versions that it names: its own, and the base of a canary.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Version> {
        std::iter::once(&self.version).chain(&self.base)
    }
}

/// An entry as it was found: read, or kept unchanged because a newer program wrote it.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An entry that this program understands.
    Known(Box<Entry>),
    /// An entry that it does not understand: it is refused here, and not lost when a manifest is
    /// made from this one.
    Foreign {
        /// The entry as JSON.
        raw: Value,
        /// Reason why this program does not understand it.
        reason: String,
    },
}

impl Item {
    /// Reads an entry; one that cannot be read is kept.
    pub(crate) fn read(raw: Value) -> Self {
        match Entry::deserialize(&raw) {
            Ok(entry) => Self::Known(Box::new(entry)),
            Err(error) => {
                let reason =
                    format!("this program is too old for its entry in the manifest: {error}");
                Self::Foreign { raw, reason }
            }
        }
    }

    /// The entry, where it is understood.
    #[must_use]
    pub fn known(&self) -> Option<&Entry> {
        match self {
            Self::Known(entry) => Some(entry),
            Self::Foreign { .. } => None,
        }
    }

    /// Returns every spec and bundle that it names. Of a foreign entry, those in the places that
    /// this program expects: a newer program that adds other places raises the manifest's format.
    #[must_use]
    pub fn objects(&self) -> (Vec<ContentHash>, Vec<ContentHash>) {
        match self {
            Self::Known(entry) => (
                entry.versions().map(|version| version.spec).collect(),
                entry.versions().filter_map(|version| version.bundle).collect(),
            ),
            Self::Foreign { raw, .. } => {
                let of = |field: &str| -> Vec<ContentHash> {
                    let versions = ["version", "base"]
                        .into_iter()
                        .filter_map(|version| raw.get(version)?.get(field));
                    versions.filter_map(|hash| hash.as_str()?.parse().ok()).collect()
                };
                (of("spec"), of("bundle"))
            }
        }
    }
}

impl From<Entry> for Item {
    fn from(entry: Entry) -> Self {
        Self::Known(Box::new(entry))
    }
}

impl Serialize for Item {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(entry) => entry.serialize(serializer),
            Self::Foreign { raw, .. } => raw.serialize(serializer),
        }
    }
}
