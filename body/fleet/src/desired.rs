//! What is to run: a head with its manifest, whole.

use std::sync::Arc;

use crate::{Applied, ContentHash, Head, Manifest, Moment};

/// A head that a body has applied. Its manifest is whole: [`Contents::manifest`](crate::Contents::manifest)
/// gives no other.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The head.
    pub head: Head,
    /// Its hash, by which bodies tell each other what they speak of.
    pub hash: ContentHash,
    /// What runs.
    pub manifest: Arc<Manifest>,
    /// When this body applied it.
    pub adopted: Moment,
}

impl Desired {
    /// A head whose manifest is there.
    #[must_use]
    pub fn new(head: Head, manifest: Arc<Manifest>, adopted: Moment) -> Self {
        Self { hash: head.hash(), head, manifest, adopted }
    }

    /// What a presence tells of it.
    #[must_use]
    pub fn applied(&self) -> Applied {
        Applied { number: self.head.number, head: self.hash }
    }
}
