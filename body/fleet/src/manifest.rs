//! A manifest: every cell and flow that is to run, as a tree of objects under their hashes.

use std::collections::{BTreeMap, BTreeSet};

use cbs::Target;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ContentHash, ENTRY_BYTES_MAX, Item, json};

/// The format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
/// The most cells and flows of one manifest: a presence has space for the states of so many.
pub const ENTRIES_MAX: usize = 32_768;
/// The most bytes of an object: the server's `max_payload` of 1 MiB less space for headers.
pub const OBJECT_BYTES_MAX: usize = 960 * 1024;
/// Limit of the average number of entries in a leaf: a change of one entry writes so many anew. 256
/// entries of [`ENTRY_BYTES_MAX`] are half of an object.
pub const LEAF_ENTRIES: usize = 256;

/// Bytes that are stored under their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The hash of the bytes.
    pub hash: ContentHash,
    /// The bytes, at most [`OBJECT_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

impl Object {
    /// The object of these bytes.
    ///
    /// # Errors
    /// More bytes than [`OBJECT_BYTES_MAX`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, ManifestError> {
        if bytes.len() > OBJECT_BYTES_MAX {
            return Err(ManifestError::TooLarge {
                what: "an object".into(),
                bytes: bytes.len(),
                max: OBJECT_BYTES_MAX,
            });
        }
        Ok(Self { hash: ContentHash::of(&bytes), bytes })
    }
}

/// Reason why a manifest cannot be made, written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// More entries than fit.
    #[error(
        "a manifest holds {ENTRIES_MAX} cells and flows at the most, here are {0}: use several namespaces"
    )]
    TooMany(usize),
    /// An object or entry has more bytes than it may have.
    #[error("{what} has {bytes} bytes, {max} at the most")]
    TooLarge {
        /// Name of the object or entry.
        what: String,
        /// Number of its bytes.
        bytes: usize,
        /// Limit of its bytes.
        max: usize,
    },
    /// The target is a topic, which cannot run.
    #[error("{0} cannot be deployed: only cells and flows run")]
    NoTarget(Target),
    /// A newer program wrote it.
    #[error("the manifest has the format {0}, this program reads {FORMAT}: use a newer `cbs`")]
    NewerFormat(u32),
    /// The bytes under a hash are not in the form that this program writes.
    #[error("the object {hash} is no part of a manifest: {reason}")]
    Unreadable {
        /// The object.
        hash: ContentHash,
        /// Reason why they cannot be read.
        reason: String,
    },
    /// Some of its content is missing.
    #[error("{} objects of the manifest are not there, among them {}", .0.len(), .0.first().map(ContentHash::short).unwrap_or_default())]
    Incomplete(Vec<ContentHash>),
}

/// Every cell and flow that is to run. The order of its entries (cells before flows, each by
/// name) is the order of the states in a [`Presence`](crate::Presence).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    entries: Vec<(Target, Item)>,
    /// Number of each entry for placement: the score of a body is made from it.
    keys: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct Root {
    format: u32,
    entries: usize,
    leaves: Vec<ContentHash>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaf<I> {
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    cells: BTreeMap<String, I>,
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    flows: BTreeMap<String, I>,
}

/// Returns the number of a target in placement; it also chooses the target's leaf.
pub(crate) fn key_of(target: &Target) -> u64 {
    ContentHash::of(target.to_string().as_bytes()).first()
}

/// Returns the number of key bits that choose a leaf: the first bits of the key.
fn leaf_bits(entries: usize) -> u32 {
    entries.div_ceil(LEAF_ENTRIES).next_power_of_two().trailing_zeros()
}

impl Manifest {
    /// A manifest of these entries; of two with one target, the later one counts.
    ///
    /// # Errors
    /// Too many entries, too large a one, or one for a topic.
    pub fn new(entries: impl IntoIterator<Item = (Target, Item)>) -> Result<Self, ManifestError> {
        let entries: BTreeMap<Target, Item> = entries.into_iter().collect();
        if entries.len() > ENTRIES_MAX {
            return Err(ManifestError::TooMany(entries.len()));
        }
        if let Some(target) = entries.keys().find(|target| matches!(target, Target::Topic(_))) {
            return Err(ManifestError::NoTarget(target.clone()));
        }
        let keys = entries.keys().map(key_of).collect();
        Ok(Self { entries: entries.into_iter().collect(), keys })
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[(Target, Item)] {
        &self.entries
    }

    /// The numbers that placement uses, in the order of the entries.
    pub(crate) fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// The entry of this target, with its place in the order.
    #[must_use]
    pub fn get(&self, target: &Target) -> Option<(usize, &Item)> {
        let index = self.entries.binary_search_by(|(other, _)| other.cmp(target)).ok()?;
        self.entries.get(index).map(|(_, item)| (index, item))
    }

    /// Returns the same manifest without these targets: `cbs undeploy` writes it.
    #[must_use]
    pub fn without(&self, targets: &BTreeSet<Target>) -> Self {
        let kept = self
            .entries
            .iter()
            .zip(&self.keys)
            .filter(|((target, _), _)| !targets.contains(target));
        let (entries, keys) = kept.map(|(entry, key)| (entry.clone(), *key)).unzip();
        Self { entries, keys }
    }

    /// Returns the same manifest with these entries in it: `cbs deploy` writes it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(
        &self,
        entries: impl IntoIterator<Item = (Target, Item)>,
    ) -> Result<Self, ManifestError> {
        Self::new(self.entries.iter().cloned().chain(entries))
    }

    /// Writes the manifest as objects: its root first, whose hash is the manifest's, then its
    /// leaves. One manifest always gives the same objects.
    ///
    /// # Errors
    /// An entry of more than [`ENTRY_BYTES_MAX`] bytes.
    pub fn encode(&self) -> Result<Vec<Object>, ManifestError> {
        let bits = leaf_bits(self.entries.len());
        let mut leaves: Vec<Leaf<&Item>> = Vec::new();
        leaves.resize_with(1 << bits, || Leaf { cells: BTreeMap::new(), flows: BTreeMap::new() });
        for ((target, item), key) in self.entries.iter().zip(&self.keys) {
            let bytes = json::canonical(item).map_err(|error| unwritable(&error))?.len();
            if bytes > ENTRY_BYTES_MAX {
                return Err(ManifestError::TooLarge {
                    what: format!("the entry of {target}"),
                    bytes,
                    max: ENTRY_BYTES_MAX,
                });
            }
            // A shift by all 64 bits is none at all.
            let index = key.checked_shr(u64::BITS - bits).unwrap_or(0);
            let Some(leaf) = usize::try_from(index).ok().and_then(|index| leaves.get_mut(index))
            else {
                continue;
            };
            let map =
                if matches!(target, Target::Flow(_)) { &mut leaf.flows } else { &mut leaf.cells };
            map.insert(target.name().to_owned(), item);
        }
        let mut objects = Vec::with_capacity(leaves.len() + 1);
        for leaf in &leaves {
            objects.push(Object::new(json::canonical(leaf).map_err(|error| unwritable(&error))?)?);
        }
        let leaves = objects.iter().map(|object| object.hash).collect();
        let root = Root { format: FORMAT, entries: self.entries.len(), leaves };
        objects
            .insert(0, Object::new(json::canonical(&root).map_err(|error| unwritable(&error))?)?);
        Ok(objects)
    }

    /// Reads the manifest whose root has this hash, from objects that were checked against their
    /// hashes.
    ///
    /// # Errors
    /// [`ManifestError::Incomplete`] names the missing content; the other errors do not go away by
    /// waiting.
    pub fn decode<'a>(
        root: ContentHash,
        object: impl Fn(&ContentHash) -> Option<&'a [u8]>,
    ) -> Result<Self, ManifestError> {
        let unreadable = |hash, error: &dyn std::fmt::Display| ManifestError::Unreadable {
            hash,
            reason: error.to_string(),
        };
        let hashes = leaves(root, &object)?;
        let missing: Vec<ContentHash> =
            hashes.iter().filter(|hash| object(hash).is_none()).copied().collect();
        if !missing.is_empty() {
            return Err(ManifestError::Incomplete(missing));
        }
        let mut entries = Vec::new();
        for hash in hashes {
            let leaf: Leaf<Value> = serde_json::from_slice(object(&hash).unwrap_or_default())
                .map_err(|error| unreadable(hash, &error))?;
            for (name, raw) in leaf.cells {
                let target = Target::Cell(name.parse().map_err(|error| unreadable(hash, &error))?);
                entries.push((target, Item::read(raw)));
            }
            for (name, raw) in leaf.flows {
                let target = Target::Flow(name.parse().map_err(|error| unreadable(hash, &error))?);
                entries.push((target, Item::read(raw)));
            }
        }
        Self::new(entries)
    }

    /// The specs and the bundles that its entries name.
    #[must_use]
    pub fn objects(&self) -> (BTreeSet<ContentHash>, BTreeSet<ContentHash>) {
        let mut specs = BTreeSet::new();
        let mut bundles = BTreeSet::new();
        for (_, item) in &self.entries {
            let (own_specs, own_bundles) = item.objects();
            specs.extend(own_specs);
            bundles.extend(own_bundles);
        }
        (specs, bundles)
    }
}

fn unwritable(error: &serde_json::Error) -> ManifestError {
    ManifestError::Unreadable {
        hash: ContentHash::of(b""),
        reason: format!("it cannot be written as JSON: {error}"),
    }
}

/// The leaves that a root names.
pub(crate) fn leaves<'a>(
    root: ContentHash,
    object: impl Fn(&ContentHash) -> Option<&'a [u8]>,
) -> Result<Vec<ContentHash>, ManifestError> {
    let bytes = object(&root).ok_or_else(|| ManifestError::Incomplete(vec![root]))?;
    let unreadable = |error: serde_json::Error| ManifestError::Unreadable {
        hash: root,
        reason: error.to_string(),
    };
    // The format first: what else a newer one says may have any shape.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
    if format > FORMAT {
        return Err(ManifestError::NewerFormat(format));
    }
    let Root { leaves, entries, .. } = serde_json::from_slice(bytes).map_err(unreadable)?;
    if entries > ENTRIES_MAX || leaves.len() > ENTRIES_MAX {
        return Err(ManifestError::TooMany(entries.max(leaves.len())));
    }
    Ok(leaves)
}
