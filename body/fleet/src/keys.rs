//! Places of all stored data: buckets, keys, sizes.
//!
//! Buckets of a namespace:
//!
//! - `cbs_<ns>_desired`: file storage, history 1
//! - `cbs_<ns>_presence`: memory, history 1, `max_age` 3 s, limit markers 1 s
//! - `cbs_<ns>_verdicts`: file storage, history 1
//! - `cbs_<ns>_bundles`: object store
//!
//! | bucket | key | value | bytes at most | written by |
//! |---|---|---|---|---|
//! | desired | `head` | the present [`Head`](crate::Head) | 4 KiB | deployers, by compare-and-set |
//! | | `history.<number, 10 digits>` | a replaced head | 4 KiB | deployers, before they replace it |
//! | | `tree.<64 hex digits>` | root or leaf of a manifest | 960 KiB | deployers |
//! | | `spec.<64 hex digits>` | JSON: a document, its place, its schemas, its call policy | 960 KiB | deployers |
//! | presence | `<body id>` | a [`Presence`](crate::Presence) | 64 KiB | that body alone, each second |
//! | verdicts | `<cell or flow>.<name>.<revision>` | `promote` or `roll-back`, reason | 256 | bodies, create only |
//! | bundles | `<64 hex digits>` | the code of a Python, Dart or exec cell | 64 MiB | deployers |
//!
//! A namespace has no `_`, so no two namespaces share a bucket. An update of 10,000 entries is
//! 10,000 specs, 64 leaves and a root; of one entry a spec, a leaf and a root.

use cbs::{BodyId, Namespace, Target};

use crate::{ContentHash, Revision};

/// The key of the present head.
pub const HEAD: &str = "head";
/// Prefix of the keys of former heads.
pub const HISTORY: &str = "history.";
/// Prefix of the keys of roots and leaves.
pub const TREE: &str = "tree.";
/// Prefix of the keys of specs.
pub const SPEC: &str = "spec.";
/// The most bytes of a bundle.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most heads that may be numbered: keys have ten digits.
pub const HEAD_NUMBER_MAX: u64 = 9_999_999_999;

/// The bucket of heads, manifests and specs.
#[must_use]
pub fn desired_bucket(namespace: &Namespace) -> String {
    format!("cbs_{namespace}_desired")
}

/// The bucket of leases.
#[must_use]
pub fn presence_bucket(namespace: &Namespace) -> String {
    format!("cbs_{namespace}_presence")
}

/// The bucket of verdicts about canaries.
#[must_use]
pub fn verdict_bucket(namespace: &Namespace) -> String {
    format!("cbs_{namespace}_verdicts")
}

/// The object store of bundles; an object's name is its hash.
#[must_use]
pub fn bundle_store(namespace: &Namespace) -> String {
    format!("cbs_{namespace}_bundles")
}

/// Returns the key of a replaced head; the keys sort by number.
#[must_use]
pub fn history(number: u64) -> String {
    format!("{HISTORY}{:010}", number.min(HEAD_NUMBER_MAX))
}

/// The key of a root or a leaf.
#[must_use]
pub fn tree(hash: &ContentHash) -> String {
    format!("{TREE}{hash}")
}

/// The key of a spec.
#[must_use]
pub fn spec(hash: &ContentHash) -> String {
    format!("{SPEC}{hash}")
}

/// The key of a body's lease.
#[must_use]
pub fn presence(body: &BodyId) -> String {
    body.to_string()
}

/// The key of a verdict: `cell.logic.greet.0123456789ab`.
#[must_use]
pub fn verdict(target: &Target, revision: Revision) -> String {
    format!("{}.{}.{revision}", target.kind(), target.name())
}

/// Object that a key of the bucket of desired state names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The present head.
    Head,
    /// A former head.
    History(u64),
    /// A root or a leaf.
    Tree(ContentHash),
    /// A spec.
    Spec(ContentHash),
}

/// Reads a key of the bucket of desired state; `None` for a key that no program of this version
/// writes.
#[must_use]
pub fn desired_key(key: &str) -> Option<Key> {
    if key == HEAD {
        return Some(Key::Head);
    }
    if let Some(number) = key.strip_prefix(HISTORY) {
        return number.parse().ok().map(Key::History);
    }
    if let Some(hash) = key.strip_prefix(TREE) {
        return hash.parse().ok().map(Key::Tree);
    }
    key.strip_prefix(SPEC)?.parse().ok().map(Key::Spec)
}

/// Reads a key of the bucket of verdicts: its target and its revision.
#[must_use]
pub fn verdict_key(key: &str) -> Option<(Target, Revision)> {
    let (kind, rest) = key.split_once('.')?;
    let (name, revision) = rest.rsplit_once('.')?;
    let target = match kind {
        "cell" => Target::Cell(name.parse().ok()?),
        "flow" => Target::Flow(name.parse().ok()?),
        _ => return None,
    };
    Some((target, revision.parse().ok()?))
}
