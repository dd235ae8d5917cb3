//! The desired state: a head with its complete manifest.

use std::sync::Arc;

use crate::{Applied, ContentHash, Head, Manifest, Moment};

/// A head that a body has applied. Its manifest is whole:
/// [`Contents::manifest`](crate::Contents::manifest) gives no other.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The head.
    pub head: Head,
    /// Hash of the head: bodies use it to name the head that they report about.
    pub hash: ContentHash,
    /// Manifest of the cells and flows that run.
    pub manifest: Arc<Manifest>,
    /// Moment when this body applied it.
    pub adopted: Moment,
}

impl Desired {
    /// A head whose manifest is there.
    #[must_use]
    pub fn new(head: Head, manifest: Arc<Manifest>, adopted: Moment) -> Self {
        Self { hash: head.hash(), head, manifest, adopted }
    }

    /// Number and hash of the head, for a presence.
    #[must_use]
    pub fn applied(&self) -> Applied {
        Applied { number: self.head.number, head: self.hash }
    }
}
