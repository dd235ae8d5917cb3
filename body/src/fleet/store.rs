//! The buckets of a namespace, as deployers and people read and write them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use bus_nats::{
    Nats,
    store::{Bucket, BucketSettings, StoreError},
};
use cbs::{Bytes, Namespace};
use fleet::{ContentHash, Head, History, Manifest, ManifestError, Object, Presence, keys};
use futures::{StreamExt, TryStreamExt, stream};

/// How many requests of one command are under way at once.
pub(super) const REQUESTS_MAX: usize = 64;

/// What holds now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Now {
    /// The present head with its revision in the bucket; `None` before the first deploy.
    pub(crate) head: Option<(Head, u64)>,
    /// What runs.
    pub(crate) manifest: Manifest,
    /// The objects that the manifest is made of.
    pub(crate) trees: BTreeMap<ContentHash, Bytes>,
}

/// The desired state of a namespace.
pub(crate) struct Store {
    nats: Nats,
    namespace: Namespace,
    desired: Bucket,
}

/// A bucket of desired state.
pub(super) fn desired_settings(namespace: &Namespace) -> BucketSettings {
    BucketSettings::kept(keys::desired_bucket(namespace))
}

/// The bucket of leases.
pub(super) fn presence_settings(namespace: &Namespace) -> BucketSettings {
    BucketSettings::leases(keys::presence_bucket(namespace), Duration::from_millis(fleet::LEASE_MS))
}

impl Store {
    /// Opens it; makes it where it is not there.
    pub(crate) async fn open(nats: Nats, namespace: Namespace) -> Result<Self, StoreError> {
        let desired = nats.bucket(&desired_settings(&namespace)).await?;
        Ok(Self { nats, namespace, desired })
    }

    /// Opens it; `None` where nothing was ever deployed.
    pub(crate) async fn existing(nats: Nats, namespace: Namespace) -> Result<Option<Self>, StoreError> {
        match nats.existing_bucket(&keys::desired_bucket(&namespace)).await {
            Ok(desired) => Ok(Some(Self { nats, namespace, desired })),
            Err(StoreError::NoBucket(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn desired(&self) -> &Bucket {
        &self.desired
    }

    /// The present head and its manifest.
    pub(crate) async fn now(&self) -> anyhow::Result<Now> {
        let Some(entry) = self.desired.get(keys::HEAD).await? else { return Ok(Now::default()) };
        let head = Head::decode(&entry.value)?;
        let (manifest, trees) = self.manifest(head.manifest).await?;
        Ok(Now { head: Some((head, entry.revision)), manifest, trees })
    }

    /// The manifest of a root, with the objects that it is made of.
    pub(crate) async fn manifest(&self, root: ContentHash) -> anyhow::Result<(Manifest, BTreeMap<ContentHash, Bytes>)> {
        let mut trees: BTreeMap<ContentHash, Bytes> = BTreeMap::new();
        loop {
            let missing = match Manifest::decode(root, |hash| trees.get(hash).map(AsRef::as_ref)) {
                Ok(manifest) => return Ok((manifest, trees)),
                Err(ManifestError::Incomplete(missing)) => missing,
                Err(error) => return Err(error.into()),
            };
            let wanted = missing.into_iter().map(async |hash| {
                let bytes = self.object(&keys::tree(&hash), hash).await?;
                Ok::<_, anyhow::Error>((hash, bytes))
            });
            trees.extend(stream::iter(wanted).buffer_unordered(REQUESTS_MAX).try_collect::<Vec<_>>().await?);
        }
    }

    /// The text of a spec's letter.
    pub(crate) async fn spec(&self, hash: ContentHash) -> anyhow::Result<Bytes> {
        self.object(&keys::spec(&hash), hash).await
    }

    async fn object(&self, key: &str, hash: ContentHash) -> anyhow::Result<Bytes> {
        let entry = self.desired.get(key).await?;
        let bytes = entry.with_context(|| format!("`{key}` is not there any more: deploy again"))?.value;
        anyhow::ensure!(ContentHash::of(&bytes) == hash, "what lies under `{key}` has another hash: deploy again");
        Ok(bytes)
    }

    /// All heads that are kept.
    pub(crate) async fn history(&self) -> anyhow::Result<History> {
        let former = format!("{}*", keys::HISTORY);
        let (former, now) = tokio::try_join!(self.desired.all(&former), self.desired.get(keys::HEAD))?;
        let all = former.into_iter().map(|(_, entry)| entry.value).chain(now.map(|entry| entry.value));
        // One that cannot be read is a newer program's: history reaches back to it.
        Ok(History::new(all.filter_map(|bytes| Head::decode(&bytes).ok())))
    }

    /// Writes the code of cells.
    pub(super) async fn put_bundles(&self, bundles: &BTreeMap<ContentHash, Object>) -> Result<(), StoreError> {
        if bundles.is_empty() {
            return Ok(());
        }
        let store = self.nats.objects(&keys::bundle_store(&self.namespace), 1).await?;
        // Not many at once: each may be of 64 MiB.
        let all = bundles.values().map(|bundle| {
            let store = store.clone();
            async move { store.put(&bundle.hash.to_string(), &bundle.bytes).await }
        });
        stream::iter(all).buffer_unordered(4).try_collect::<Vec<()>>().await.map(drop)
    }

    /// The leases of the bodies that live.
    pub(crate) async fn bodies(nats: &Nats, namespace: &Namespace) -> Result<Vec<Presence>, StoreError> {
        let bucket = match nats.existing_bucket(&keys::presence_bucket(namespace)).await {
            Err(StoreError::NoBucket(_)) => return Ok(Vec::new()),
            bucket => bucket?,
        };
        let all = bucket.all(">").await?;
        Ok(all.into_iter().filter_map(|(_, entry)| Presence::decode(&entry.value).ok()).collect())
    }

    /// The bucket of leases, to be watched.
    pub(super) async fn presence(&self) -> Result<Bucket, StoreError> {
        self.nats.bucket(&presence_settings(&self.namespace)).await
    }
}
