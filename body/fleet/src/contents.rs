//! The content that a body has received, and whose bytes have the right hash.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    ContentHash, Manifest, ManifestError, Object,
    fault_injection::{Bug, injected},
};

/// Content whose bytes do not have the hash that it is stored under.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what lies under {} has the hash {}: it is not taken; put it anew with `cbs deploy`", .wanted.short(), .found.short())]
pub struct WrongContent {
    /// The hash that it is stored under.
    pub wanted: ContentHash,
    /// The hash of its bytes.
    pub found: ContentHash,
}

/// Trees with their bytes, and specs by hash alone: a body knows of ten thousand specs and needs
/// the text of few.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    trees: BTreeMap<ContentHash, Arc<[u8]>>,
    specs: BTreeSet<ContentHash>,
}

impl Contents {
    /// Takes a root or a leaf.
    ///
    /// # Errors
    /// The bytes have another hash.
    pub fn tree(&mut self, hash: ContentHash, bytes: &[u8]) -> Result<(), WrongContent> {
        check(hash, bytes)?;
        self.trees.insert(hash, bytes.into());
        Ok(())
    }

    /// Takes note of a spec.
    ///
    /// # Errors
    /// The bytes have another hash.
    pub fn spec(&mut self, hash: ContentHash, bytes: &[u8]) -> Result<(), WrongContent> {
        check(hash, bytes)?;
        self.specs.insert(hash);
        Ok(())
    }

    /// True if a spec has been received, and is not forgotten.
    #[must_use]
    pub fn knows(&self, spec: &ContentHash) -> bool {
        self.specs.contains(spec)
    }

    /// Takes the objects of a manifest that was made here.
    pub fn objects(&mut self, objects: &[Object]) {
        for Object { hash, bytes } in objects {
            self.trees.insert(*hash, bytes.as_slice().into());
        }
    }

    /// The bytes of a root or a leaf.
    #[must_use]
    pub fn get(&self, hash: &ContentHash) -> Option<&[u8]> {
        self.trees.get(hash).map(AsRef::as_ref)
    }

    /// The manifest of this root, if it and every spec that it names are there.
    ///
    /// [`ManifestError::Incomplete`] with the missing content: trees, or else specs. Other errors
    /// do not go away by waiting.
    pub fn manifest(&self, root: ContentHash) -> Result<Manifest, ManifestError> {
        let manifest = Manifest::decode(root, |hash| self.get(hash))?;
        let (specs, _) = manifest.objects();
        let missing: Vec<ContentHash> = specs.difference(&self.specs).copied().collect();
        if missing.is_empty() || injected(Bug::ActsOnHalf) {
            Ok(manifest)
        } else {
            Err(ManifestError::Incomplete(missing))
        }
    }

    /// Forgets all content that these manifests do not need. Bodies keep the content that the
    /// present head and the one before it reach.
    pub fn retain(&mut self, roots: &[ContentHash]) {
        let mut trees: BTreeSet<ContentHash> = roots.iter().copied().collect();
        let mut specs = BTreeSet::new();
        for root in roots {
            trees.extend(crate::manifest::leaves(*root, |hash| self.get(hash)).unwrap_or_default());
            if let Ok(manifest) = Manifest::decode(*root, |hash| self.get(hash)) {
                specs.extend(manifest.objects().0);
            }
        }
        self.trees.retain(|hash, _| trees.contains(hash));
        self.specs.retain(|hash| specs.contains(hash));
    }
}

fn check(wanted: ContentHash, bytes: &[u8]) -> Result<(), WrongContent> {
    let found = ContentHash::of(bytes);
    if found == wanted || injected(Bug::TrustsNames) {
        Ok(())
    } else {
        Err(WrongContent { wanted, found })
    }
}
