//! Garbage collection: objects that no head in history reaches are removed when they are so old
//! that no deploy can be about to use them.
//!
//! Deploys that run at the same time lose nothing:
//!
//! 1. Stored objects are listed before history is read. An object that a deploy has put since then
//!    has a later revision than the listed one, and a removal names the listed revision.
//! 2. A deploy may reuse stored objects that the head it replaces does not reach. It puts them
//!    again unless they are younger than half of the age below. It sets its head within the other
//!    half, or gives up. So the objects that it reuses are too young to be removed until its head
//!    can be read.
//! 3. History is read from the leader, whole and without a gap, or nothing is removed. An entry
//!    that cannot be read may name any manifest: while it is there, all manifests stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, ensure};
use bus_nats::store::{StoreError, StoredName};
use cbs::Bytes;
use fleet::{
    ContentHash, GARBAGE_AGE_MS, Head, History, ManifestError, Reachable, Stored, garbage,
    keys::{self, Key},
    reachable,
};
use futures::{StreamExt, TryStreamExt, future::join_all, stream};

use super::{Store, inventory::Inventory, store::REQUESTS_MAX};

/// Limit of manifests that are read at once, and so lie in memory together.
const TREES_MAX: usize = 8;

impl Store {
    /// Removes the objects that nobody needs, and returns their number.
    ///
    /// # Errors
    /// The store cannot be read, or history is not whole: then none or only some of the objects
    /// were removed.
    pub(crate) async fn collect(&self) -> anyhow::Result<usize> {
        let inventory = Box::pin(self.inventory()).await?;
        if !self.is_any_old(&inventory) {
            return Ok(0);
        }
        let reached = self.reached(&inventory).await?;
        self.remove(&inventory, &reached).await
    }

    fn is_any_old(&self, inventory: &Inventory) -> bool {
        let kept = inventory.trees.values().chain(inventory.specs.values());
        kept.chain(inventory.bundles.values().map(|object| &object.kept))
            .any(|kept| kept.age > self.garbage_age())
    }

    /// Returns all objects that the present and the former heads reach. Manifests are read one
    /// after another: a hundred of them with ten thousand entries each would not fit into memory.
    async fn reached(&self, inventory: &Inventory) -> anyhow::Result<Reachable> {
        let (mut heads, damaged) = self.heads().await?;
        let mut reached = Reachable::default();
        let mut before: BTreeMap<ContentHash, Bytes> = BTreeMap::new();
        while let Some(head) = heads.pop() {
            if reached.trees.contains(&head.manifest) {
                continue;
            }
            let (_, trees) = self.manifest_with(head.manifest, &before).await?;
            let of_one =
                reachable(&History::new([head]), |hash| trees.get(hash).map(AsRef::as_ref))?;
            reached.trees.extend(of_one.trees);
            reached.specs.extend(of_one.specs);
            reached.bundles.extend(of_one.bundles);
            before = trees;
        }
        if !damaged.is_empty() {
            for key in damaged {
                tracing::warn!(
                    "`{key}` in the bucket {} cannot be read as a former generation: {}, all manifests that are stored are \
                     kept, and what they name",
                    self.desired().name(),
                    until(&key)
                );
            }
            self.reach_all(inventory, &mut reached, &before).await?;
        }
        Ok(reached)
    }

    /// Adds all objects that a damaged head may name: every stored manifest, also one of a deploy
    /// that set no head, with its leaves, specs and bundles. If a manifest has lost some leaves,
    /// the objects that the other leaves name are added. Objects that no stored manifest names are
    /// not kept. Several manifests are read at once, because a deploy has little time for it.
    async fn reach_all(
        &self,
        inventory: &Inventory,
        reached: &mut Reachable,
        known: &BTreeMap<ContentHash, Bytes>,
    ) -> anyhow::Result<()> {
        let mut trees = inventory.trees.keys().copied();
        loop {
            let wave = trees.by_ref().filter(|tree| !reached.trees.contains(tree)).take(TREES_MAX);
            let wave: Vec<ContentHash> = wave.collect();
            if wave.is_empty() {
                return Ok(());
            }
            let reads = wave.iter().map(async |&tree| (tree, self.read(tree, known).await));
            for (tree, read) in join_all(reads).await {
                match read {
                    Ok((manifest, trees, _)) => {
                        let (specs, bundles) = manifest.objects();
                        reached.trees.extend(trees.into_keys());
                        reached.specs.extend(specs);
                        reached.bundles.extend(bundles);
                    }
                    // A leaf: it stays where a manifest names it.
                    Err(error) if is_no_root(&error, tree) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Returns every head that can be read, oldest first, and the keys of history that hold no
    /// readable head.
    async fn heads(&self) -> anyhow::Result<(Vec<Head>, Vec<String>)> {
        let now = self.desired().get_latest(keys::HEAD).await?.context("nothing is deployed")?;
        let now = Head::decode(&now.value)?;
        let former = self.desired().all(&format!("{}*", keys::HISTORY)).await?;
        let mut heads = BTreeMap::new();
        let mut damaged = Vec::new();
        let mut unread = BTreeSet::new();
        for (key, entry) in former {
            match Head::decode(&entry.value) {
                Ok(head) if keys::history(head.number) == key => {
                    _ = heads.insert(head.number, head);
                }
                _ => {
                    if let Some(Key::History(number)) = keys::desired_key(&key) {
                        unread.insert(number);
                    }
                    damaged.push(key);
                }
            }
        }
        heads.insert(now.number, now);
        // The oldest generations may have been deleted by hand.
        for (&number, &later) in heads.keys().zip(heads.keys().skip(1)) {
            let is_told = (number + 1..later).all(|between| unread.contains(&between));
            ensure!(is_told, "history has a gap after generation {number}");
        }
        Ok((heads.into_values().collect(), damaged))
    }

    async fn remove(&self, inventory: &Inventory, reached: &Reachable) -> anyhow::Result<usize> {
        let old = |all: &BTreeMap<ContentHash, StoredName>| {
            self.old(all.iter().map(|(hash, kept)| (*hash, kept)), reached)
        };
        let trees = old(&inventory.trees);
        let specs = old(&inventory.specs);
        let values = trees.iter().filter_map(|hash| inventory.trees.get(hash));
        let values = values
            .chain(specs.iter().filter_map(|hash| inventory.specs.get(hash)))
            .cloned()
            .collect::<Vec<_>>();
        let values = values.into_iter().map(|kept| async move {
            self.desired().remove_at(&kept.name, kept.revision).await.map(usize::from)
        });
        let mut removed =
            stream::iter(values).buffer_unordered(REQUESTS_MAX).try_collect::<Vec<_>>().await?;
        let Some(bundles) = self.existing_bundles().await? else { return Ok(removed.iter().sum()) };
        let gone =
            self.old(inventory.bundles.iter().map(|(hash, object)| (*hash, &object.kept)), reached);
        for object in gone.iter().filter_map(|hash| inventory.bundles.get(hash)) {
            removed.push(usize::from(bundles.remove_at(object).await?));
        }
        removed.push(bundles.sweep(self.garbage_age()).await?);
        Ok(removed.iter().sum())
    }

    /// Returns the objects that may be removed. The rule counts in an hour, which tests make
    /// shorter.
    fn old<'a>(
        &self,
        all: impl Iterator<Item = (ContentHash, &'a StoredName)>,
        reached: &Reachable,
    ) -> BTreeSet<ContentHash> {
        let hour = u128::from(GARBAGE_AGE_MS);
        let scaled = |age: Duration| age.as_millis() * hour / self.garbage_age().as_millis().max(1);
        let age_ms = |age| u64::try_from(scaled(age)).unwrap_or(u64::MAX);
        let stored: Vec<Stored> =
            all.map(|(hash, kept)| Stored { hash, age_ms: age_ms(kept.age) }).collect();
        garbage(&stored, reached).into_iter().collect()
    }

    /// Forgets the heads that are too old to go back to.
    pub(super) async fn prune(&self, inventory: &Inventory, newest: u64) -> Result<(), StoreError> {
        let Some(last) = newest.checked_sub(self.history_max() as u64) else { return Ok(()) };
        for kept in inventory.history.range(..=last).map(|(_, kept)| kept) {
            self.desired().remove_at(&kept.name, kept.revision).await?;
        }
        Ok(())
    }
}

/// Returns until when an entry that cannot be read stays: one with a number is pruned when newer
/// numbers have taken its place.
fn until(key: &str) -> &'static str {
    match keys::desired_key(key) {
        Some(Key::History(_)) => "until newer generations replace it",
        _ => "until somebody removes it (`nats kv del`)",
    }
}

fn is_no_root(error: &anyhow::Error, tree: ContentHash) -> bool {
    matches!(error.downcast_ref(), Some(ManifestError::Unreadable { hash, .. }) if *hash == tree)
}

#[cfg(test)]
#[path = "collecting_tests.rs"]
mod tests;
