//! Content that may be deleted: no head in history reaches it, and no deploy is about to use it.

use std::collections::BTreeSet;

use crate::{ContentHash, History, Manifest, ManifestError, manifest};

/// Age that content must have before it may be deleted. A deploy that has put its content has half
/// of this time to set its head.
pub const GARBAGE_AGE_MS: u64 = 3_600_000;

/// Content that some head in history reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reachable {
    /// Roots and leaves of manifests.
    pub trees: BTreeSet<ContentHash>,
    /// Specs.
    pub specs: BTreeSet<ContentHash>,
    /// Bundles.
    pub bundles: BTreeSet<ContentHash>,
}

impl Reachable {
    /// True if any head needs it.
    #[must_use]
    pub fn contains(&self, hash: &ContentHash) -> bool {
        self.trees.contains(hash) || self.specs.contains(hash) || self.bundles.contains(hash)
    }
}

/// Content that is stored under a hash, as the store lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub hash: ContentHash,
    /// Time since it was last put, by the server's clock alone.
    pub age_ms: u64,
}

/// Returns all content that the heads of a history reach.
///
/// # Errors
/// A manifest that is not complete or cannot be read: its content is not known, so nothing may be
/// deleted.
pub fn reachable<'a>(
    history: &History,
    object: impl Fn(&ContentHash) -> Option<&'a [u8]>,
) -> Result<Reachable, ManifestError> {
    let mut reached = Reachable::default();
    for head in history.heads() {
        if reached.trees.contains(&head.manifest) {
            continue;
        }
        let (specs, bundles) = Manifest::decode(head.manifest, &object)?.objects();
        reached.trees.extend(manifest::leaves(head.manifest, &object)?);
        reached.trees.insert(head.manifest);
        reached.specs.extend(specs);
        reached.bundles.extend(bundles);
    }
    Ok(reached)
}

/// Returns the stored content that may be deleted, each only at the revision that was listed, so
/// that content which a deploy has put anew meanwhile stays.
///
/// The order that makes it safe: list the stored content, *then* read history, then delete. A
/// deployer puts everything anew that the present head does not reach, even where it is stored
/// already, and sets its head within half of [`GARBAGE_AGE_MS`].
#[must_use]
pub fn garbage(stored: &[Stored], reachable: &Reachable) -> Vec<ContentHash> {
    let old = stored.iter().filter(|stored| stored.age_ms > GARBAGE_AGE_MS);
    old.filter(|stored| !reachable.contains(&stored.hash)).map(|stored| stored.hash).collect()
}
