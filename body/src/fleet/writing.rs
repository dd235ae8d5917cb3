//! A deploy: content first, under its hashes and in any order; then one compare-and-set on the head.

use std::collections::{BTreeMap, BTreeSet};

use bus_nats::store::StoreError;
use fleet::{Conflict, ContentHash, Diff, HISTORY_MAX, Head, Manifest, Object, diff, keys};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Parcel,
    store::{Now, REQUESTS_MAX, Store},
};

/// A change of the desired state that is not written yet.
pub(crate) struct Draft {
    base: Now,
    manifest: Manifest,
    /// Of the manifest: its root first.
    trees: Vec<Object>,
    specs: BTreeMap<ContentHash, Object>,
    bundles: BTreeMap<ContentHash, Object>,
}

/// What became of a draft.
pub(crate) enum Written {
    /// It is the head now.
    Head(Head),
    /// Somebody else was first.
    Conflict(Box<Conflict>),
}

impl Draft {
    /// What holds now, with these parcels in it.
    pub(crate) fn deploy(base: Now, parcels: Vec<Parcel>) -> anyhow::Result<Self> {
        let entries = parcels.iter().map(|parcel| (parcel.target.clone(), parcel.entry.clone().into()));
        let manifest = base.manifest.with(entries)?;
        let mut draft = Self::of(base, manifest)?;
        for parcel in parcels {
            draft.specs.insert(parcel.spec.hash, parcel.spec);
            draft.bundles.extend(parcel.bundle.map(|bundle| (bundle.hash, bundle)));
        }
        // What the present head reaches is there and stays; all else is put anew, so that it is young.
        let (specs, bundles) = draft.base.manifest.objects();
        draft.specs.retain(|hash, _| !specs.contains(hash));
        draft.bundles.retain(|hash, _| !bundles.contains(hash));
        Ok(draft)
    }

    /// What holds now, replaced by a manifest whose content is there.
    pub(crate) fn of(base: Now, manifest: Manifest) -> anyhow::Result<Self> {
        let trees = manifest.encode()?;
        Ok(Self { base, manifest, trees, specs: BTreeMap::new(), bundles: BTreeMap::new() })
    }

    /// What would change.
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

    /// Writes it, with `head` as the new head: everything or nothing.
    pub(crate) async fn write(&self, store: &Store, head: Head) -> anyhow::Result<Written> {
        store.put_bundles(&self.bundles).await?;
        let trees = self.trees.iter().filter(|tree| !self.base.trees.contains_key(&tree.hash));
        let trees = trees.map(|tree| (keys::tree(&tree.hash), tree.bytes.clone()));
        let specs = self.specs.values().map(|spec| (keys::spec(&spec.hash), spec.bytes.clone()));
        let puts = trees.chain(specs).collect::<Vec<_>>().into_iter();
        let puts = puts.map(|(key, bytes)| async move { store.desired().put(&key, bytes.into()).await });
        stream::iter(puts).buffer_unordered(REQUESTS_MAX).try_collect::<Vec<u64>>().await?;
        let bytes = head.encode();
        let set = match &self.base.head {
            None => store.desired().create(keys::HEAD, bytes.clone().into()).await,
            Some((old, revision)) => {
                store.desired().put(&keys::history(old.number), old.encode().into()).await?;
                store.desired().update(keys::HEAD, bytes.clone().into(), *revision).await
            }
        };
        let set = match set {
            Ok(_) => Ok(()),
            // Nobody knows whether it was written: what is there now tells.
            Err(error) => match store.desired().get(keys::HEAD).await {
                Ok(Some(now)) if now.value == bytes => Ok(()),
                _ => Err(error),
            },
        };
        match set {
            Ok(()) => {
                self.prune(store, head.number).await;
                Ok(Written::Head(head))
            }
            Err(StoreError::Conflict { .. }) => self.conflict(store).await.map(Box::new).map(Written::Conflict),
            Err(error) => Err(error.into()),
        }
    }

    async fn conflict(&self, store: &Store) -> anyhow::Result<Conflict> {
        let now = store.now().await?;
        let (head, _) = now.head.ok_or_else(|| anyhow::anyhow!("the head was deleted meanwhile: deploy again"))?;
        Ok(Conflict::new(&self.base.manifest, &self.manifest, &now.manifest, head))
    }

    /// Heads that are too old are forgotten, one a deploy.
    async fn prune(&self, store: &Store, number: u64) {
        let Some(old) = number.checked_sub(HISTORY_MAX as u64).filter(|old| *old > 0) else { return };
        if let Err(error) = store.desired().remove(&keys::history(old)).await {
            tracing::warn!("head {old} is still in history: {error}");
        }
    }

    /// The targets that it changes and that are to run, by their index in the new manifest.
    pub(crate) fn touched(&self) -> BTreeSet<usize> {
        let diff = self.diff();
        let targets = diff.targets().into_iter();
        targets.filter_map(|target| self.manifest.get(target).map(|(index, _)| index)).collect()
    }
}
