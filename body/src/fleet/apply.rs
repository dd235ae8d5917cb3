//! A deploy: content first, under its hashes and in any order; then one compare-and-set on the
//! head.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use bus_nats::store::{StoreError, StoredName};
use cbs::{Bytes, Target};
use fleet::{Conflict, ContentHash, Diff, Head, Item, Manifest, Object, Revision, diff, keys};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Artifact,
    inventory::Inventory,
    retry_until::{DeployStage, RetryUntil},
    store::{Now, REQUESTS_MAX, Store},
};

/// Limit of bundles that are transferred at once: each may have 64 MiB.
const BUNDLES_MAX: usize = 4;

/// A change of the desired state that is not written yet.
pub(crate) struct ChangeSet {
    base: Now,
    inventory: Inventory,
    manifest: Manifest,
    /// Of the manifest: its root first.
    trees: Vec<Object>,
    /// Content of the manifest that this process holds and can write.
    specs: BTreeMap<ContentHash, Object>,
    bundles: BTreeMap<ContentHash, Object>,
    /// The cells and flows that the change set names, whether they change or not.
    named: BTreeSet<Target>,
}

/// Result of writing a change set.
pub(crate) enum Written {
    /// The change set is the head now.
    Head(Head),
    /// Another deployer has set a head first.
    Conflict(Box<Conflict>),
}

impl ChangeSet {
    /// Makes a change set: the present state, with these artifacts in it.
    pub(crate) fn deploy(
        base: Now,
        inventory: Inventory,
        artifacts: Vec<Artifact>,
    ) -> anyhow::Result<Self> {
        let entries = artifacts.iter().map(|artifact| {
            let target = &artifact.target;
            let replaced = base.manifest.get(&artifact.target);
            let verdict = base.verdict_records.get(target).map(|record| record.verdict);
            (
                target.clone(),
                artifact
                    .entry
                    .clone()
                    .after(replaced.and_then(|(_, item)| item.known()), verdict)
                    .into(),
            )
        });
        let manifest = base.manifest.with(entries)?;
        let mut changes = Self::of(base, inventory, manifest)?;
        for artifact in artifacts {
            changes.named.insert(artifact.target);
            changes.specs.insert(artifact.spec.hash, artifact.spec);
            changes.bundles.extend(artifact.bundle.map(|bundle| (bundle.hash, bundle)));
        }
        if let (false, Some((head, _))) = (changes.base.lost.is_empty(), &changes.base.head) {
            let lost = changes.base.lost.len();
            // The same manifest has the same parts: then they are at hand again.
            ensure!(
                changes.root() == head.manifest,
                "{lost} parts of generation {} are not in the store any more: deploy all that it held at once, unchanged, \
                 or go back with `cbs rollback`; nothing was changed",
                head.number
            );
        }
        Ok(changes)
    }

    /// Makes a change set that replaces the present state by a manifest whose content is stored.
    pub(crate) fn of(base: Now, inventory: Inventory, manifest: Manifest) -> anyhow::Result<Self> {
        let trees = manifest.encode()?;
        let (specs, bundles, named) = Default::default();
        Ok(Self { base, inventory, manifest, trees, specs, bundles, named })
    }

    /// Returns the changes that this change set would make.
    pub(crate) fn diff(&self) -> Diff {
        diff(&self.base.manifest, &self.manifest)
    }

    pub(crate) fn base(&self) -> &Now {
        &self.base
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The hash of the new manifest.
    pub(crate) fn root(&self) -> ContentHash {
        self.trees.first().map_or_else(|| ContentHash::of(b""), |root| root.hash)
    }

    /// True if writing it would set no head: the present head has the same manifest, and can be
    /// read.
    pub(crate) fn is_empty(&self) -> bool {
        self.base.damaged.is_none() && self.says_the_same()
    }

    fn says_the_same(&self) -> bool {
        self.base.head.as_ref().is_some_and(|(head, _)| head.manifest == self.root())
            || self.base.head.is_none() && self.manifest.entries().is_empty()
    }

    /// Writes it, with `head` as the new head: everything or nothing.
    pub(crate) async fn write(
        &self,
        store: &Store,
        head: Head,
        retry: &RetryUntil,
    ) -> anyhow::Result<Written> {
        retry.with(DeployStage::Content, async || self.put(store).await).await?;
        if !retry
            .with(DeployStage::Head(head.number), async || self.set(store, &head).await)
            .await?
        {
            let conflict =
                retry.with(DeployStage::Content, async || self.conflict(store).await).await?;
            return Ok(Written::Conflict(Box::new(conflict)));
        }
        // It was sent in time and came late: content that it reuses may be about to be deleted,
        // and is put anew.
        if self.is_late(store)
            && let Err(error) =
                retry.with(DeployStage::Head(head.number), async || self.put(store).await).await
        {
            tracing::warn!(
                "generation {} is written, and some of its content may be missing: {error:#}",
                head.number
            );
        }
        if let Err(error) = store.prune(&self.inventory, head.number).await {
            tracing::warn!("history is longer than it should be until the next deploy: {error}");
        }
        Ok(Written::Head(head))
    }

    /// True if content that was young enough to be reused may be too old for that by now.
    fn is_late(&self, store: &Store) -> bool {
        self.inventory.age() >= store.garbage_age() / 2
    }

    /// Sets the head, also after an earlier try whose result is unknown. Returns whether it is set.
    async fn set(&self, store: &Store, head: &Head) -> anyhow::Result<bool> {
        if let Some(is_set) = self.fate(store, head).await? {
            return Ok(is_set);
        }
        ensure!(
            !self.is_late(store),
            "it took longer than {} minutes to write its content: deploy again; nothing was changed",
            store.garbage_age().as_secs() / 120
        );
        let bytes = head.encode().into();
        let set = match (&self.base.head, self.base.damaged) {
            (None, None) => store.desired().create(keys::HEAD, bytes).await,
            (None, Some(revision)) => store.desired().update(keys::HEAD, bytes, revision).await,
            (Some((old, revision)), _) => {
                store.desired().put(&keys::history(old.number), old.encode().into()).await?;
                store.desired().update(keys::HEAD, bytes, *revision).await
            }
        };
        let Err(error) = set else { return Ok(true) };
        // It is unknown whether it was written: the stored state shows it.
        match (self.fate(store, head).await, error) {
            (Ok(Some(is_set)), _) => Ok(is_set),
            // A cluster that is about to agree on a head, perhaps on this one, shows the old one
            // until then.
            (_, error @ StoreError::Conflict { .. }) => {
                let bucket = store.desired().name().to_owned();
                Err(StoreError::Unavailable { bucket, reason: error.to_string() }.into())
            }
            (_, error) => Err(error.into()),
        }
    }

    /// Finds out the fate of a head that was perhaps sent: `Some(true)` if it was set,
    /// `Some(false)` if another head was first, `None` if neither has happened yet.
    async fn fate(&self, store: &Store, head: &Head) -> anyhow::Result<Option<bool>> {
        let now = store.desired().get_latest(keys::HEAD).await?;
        let base = self.base.head.as_ref().map(|(_, revision)| *revision).or(self.base.damaged);
        if now.as_ref().map(|entry| entry.revision) == base {
            return Ok(None);
        }
        let bytes = head.encode();
        if now.is_some_and(|entry| entry.value == bytes) {
            return Ok(Some(true));
        }
        // Whoever has replaced it since has put it into history.
        let former = store.desired().get_latest(&keys::history(head.number)).await?;
        Ok(Some(former.is_some_and(|entry| entry.value == bytes)))
    }

    /// Puts the content that is missing, and the content that might be collected before the head
    /// names it. Returns the number of objects that were missing.
    pub(crate) async fn put(&self, store: &Store) -> anyhow::Result<usize> {
        let (specs, bundles) = self.base.manifest.objects();
        let (own_specs, own_bundles) = self.manifest.objects();
        let trees: BTreeMap<ContentHash, &Object> =
            self.trees.iter().map(|tree| (tree.hash, tree)).collect();
        let lies = |hash: &ContentHash| self.inventory.bundles.get(hash).map(|object| &object.kept);
        let due = |kept: Option<&StoredName>, needed: bool| self.is_due(store, kept, needed);
        let bundles: Vec<ContentHash> = own_bundles
            .into_iter()
            .filter(|hash| due(lies(hash), bundles.contains(hash)))
            .collect();
        let specs: Vec<ContentHash> = own_specs
            .into_iter()
            .filter(|hash| due(self.inventory.specs.get(hash), specs.contains(hash)))
            .collect();
        let trees: Vec<&Object> = trees
            .into_values()
            .filter(|tree| {
                let lost = self.base.lost.contains(&tree.hash);
                lost || due(
                    self.inventory.trees.get(&tree.hash),
                    self.base.trees.contains_key(&tree.hash),
                )
            })
            .collect();
        // What is neither there nor at hand is not put either.
        let missing =
            trees.iter().filter(|tree| !self.inventory.trees.contains_key(&tree.hash)).count()
                + specs
                    .iter()
                    .filter(|hash| {
                        self.specs.contains_key(hash) && !self.inventory.specs.contains_key(hash)
                    })
                    .count()
                + bundles
                    .iter()
                    .filter(|hash| {
                        self.bundles.contains_key(hash)
                            && !self.inventory.bundles.contains_key(hash)
                    })
                    .count();
        if !bundles.is_empty() {
            let objects = store.bundles().await?;
            let puts = bundles.into_iter().map(|hash| {
                let objects = objects.clone();
                async move {
                    let name = hash.to_string();
                    let bytes = match self.bundles.get(&hash) {
                        Some(bundle) => Bytes::copy_from_slice(&bundle.bytes),
                        None => match objects.get(&name, keys::BUNDLE_BYTES_MAX).await? {
                            Some(bytes) => bytes,
                            None => return self.gone(&hash),
                        },
                    };
                    objects.put(&name, &bytes).await.map_err(anyhow::Error::from)
                }
            });
            stream::iter(puts).buffer_unordered(BUNDLES_MAX).try_collect::<Vec<()>>().await?;
        }
        let specs = specs.into_iter().map(async |hash| {
            let bytes = match self.specs.get(&hash) {
                Some(spec) => spec.bytes.clone().into(),
                None if self.inventory.specs.contains_key(&hash) => store.spec(hash).await?,
                None => return self.gone(&hash),
            };
            store.desired().put(&keys::spec(&hash), bytes).await?;
            Ok(())
        });
        stream::iter(specs).buffer_unordered(REQUESTS_MAX).try_collect::<Vec<()>>().await?;
        let trees = trees.into_iter().map(async |tree| {
            store.desired().put(&keys::tree(&tree.hash), tree.bytes.clone().into()).await.map(drop)
        });
        stream::iter(trees).buffer_unordered(REQUESTS_MAX).try_collect::<Vec<()>>().await?;
        Ok(missing)
    }

    /// True if content must be put: it is not stored, or no head holds it and it is no longer
    /// young.
    fn is_due(&self, store: &Store, kept: Option<&StoredName>, needed: bool) -> bool {
        kept.is_none_or(|kept| {
            !needed && kept.age + self.inventory.age() >= store.garbage_age() / 2
        })
    }

    /// Handles content that is neither stored nor in this process: an error only if the change set
    /// would bring it back.
    fn gone(&self, hash: &ContentHash) -> anyhow::Result<()> {
        let (specs, bundles) = self.base.manifest.objects();
        let held = specs.contains(hash) || bundles.contains(hash);
        let named = self.naming(&BTreeSet::from([*hash]));
        let what = named.first().map_or_else(|| "an entry".to_owned(), ToString::to_string);
        ensure!(
            held,
            "{what} cannot be brought back: its content {} is not there any more",
            hash.short()
        );
        Ok(())
    }

    /// Returns the entries that name some of this content.
    fn naming(&self, hashes: &BTreeSet<ContentHash>) -> Vec<&Target> {
        let names = |target: &Target, item: &Item| {
            let alone = Manifest::new([(target.clone(), item.clone())]).unwrap_or_default();
            let (specs, bundles) = alone.objects();
            !specs.is_disjoint(hashes) || !bundles.is_disjoint(hashes)
        };
        let entries = self.manifest.entries().iter().filter(|(target, item)| names(target, item));
        entries.map(|(target, _)| target).collect()
    }

    /// Returns the entries that are deployed and stay, but that no body can start again: their
    /// content is neither stored nor in this process.
    pub(crate) fn broken(&self) -> Vec<&Target> {
        let (specs, bundles) = self.manifest.objects();
        let specs = specs.into_iter().filter(|hash| {
            !self.inventory.specs.contains_key(hash) && !self.specs.contains_key(hash)
        });
        let bundles = bundles.into_iter().filter(|hash| {
            !self.inventory.bundles.contains_key(hash) && !self.bundles.contains_key(hash)
        });
        let gone: BTreeSet<ContentHash> = specs.chain(bundles).collect();
        if gone.is_empty() { Vec::new() } else { self.naming(&gone) }
    }

    async fn conflict(&self, store: &Store) -> anyhow::Result<Conflict> {
        let now = store.now().await?;
        let (head, _) =
            now.head.context("the desired state was deleted meanwhile: deploy again")?;
        Ok(Conflict::new(&self.base.manifest, &self.manifest, &now.manifest, head))
    }

    /// Returns the canaries that the change set changes or names and that have no verdict yet.
    pub(crate) fn judged(&self) -> Vec<(&Target, Revision, u8)> {
        let judged = self.touched().into_iter().filter_map(|index| {
            let (target, item) = self.manifest.entries().get(index)?;
            let entry = item.known().filter(|entry| entry.enabled)?;
            let replaced = self.base.manifest.get(target).and_then(|(_, item)| item.known());
            let same = replaced
                .is_some_and(|replaced| replaced.version.revision == entry.version.revision);
            let record = self.base.verdict_records.get(target).filter(|_| same);
            let (canary, rules) = entry.wanted(record.map(|record| record.verdict)).side?;
            Some((target, canary.revision, rules.share))
        });
        judged.collect()
    }

    /// Returns the targets that the change set changes or names and that are to run, by index in
    /// the new manifest.
    pub(crate) fn touched(&self) -> BTreeSet<usize> {
        let diff = self.diff();
        let targets = diff.targets().into_iter().chain(&self.named);
        targets.filter_map(|target| self.manifest.get(target).map(|(index, _)| index)).collect()
    }
}
