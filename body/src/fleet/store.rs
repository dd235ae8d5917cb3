//! The buckets of a namespace, as deployers and operators read and write them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use bus_nats::{
    Nats,
    store::{Bucket, BucketSettings, StoreError},
};
use cbs::{Bytes, Namespace, Target};
use fleet::{
    ContentHash, Head, History, Manifest, ManifestError, Presence, Verdict, VerdictRecord, keys,
};
use futures::{StreamExt, TryStreamExt, stream};

/// Limit of requests of one command that are under way at once.
pub(super) const REQUESTS_MAX: usize = 64;
/// Content used in place of a leaf that was lost.
const EMPTY_LEAF: &str = "{}";

/// The present desired state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Now {
    /// The present head with its revision in the bucket; `None` before the first deploy.
    pub(crate) head: Option<(Head, u64)>,
    /// Manifest of the entries that run.
    pub(crate) manifest: Manifest,
    /// The objects that the manifest is made of.
    pub(crate) trees: BTreeMap<ContentHash, Bytes>,
    /// Objects of the manifest that are no longer stored: their entries are missing in `manifest`.
    pub(crate) lost: Vec<ContentHash>,
    /// Verdict records of its canaries.
    pub(crate) verdict_records: BTreeMap<Target, VerdictRecord>,
    /// Revision of the value under the head's key if it cannot be read. Then `head` is the last
    /// head of history, with this revision.
    pub(crate) damaged: Option<u64>,
}

impl Now {
    /// Returns the state of the canaries of the present head, one line each.
    pub(crate) fn canaries(&self) -> Vec<String> {
        let Some((head, _)) = &self.head else { return Vec::new() };
        let lines = self.manifest.entries().iter().filter_map(|(target, item)| {
            let entry = item.known().filter(|entry| entry.enabled)?;
            entry.wanted(None).side?;
            let what = match self.verdict_records.get(target) {
                None => "a canary that is being judged".to_owned(),
                Some(VerdictRecord { verdict: Verdict::Promote, reason }) => {
                    format!("promoted: {reason}")
                }
                Some(VerdictRecord { verdict: Verdict::RollBack, reason }) => {
                    let base = entry
                        .base
                        .as_ref()
                        .map(|base| base.revision.to_string())
                        .unwrap_or_default();
                    format!("rolled back: {reason}; {base} serves on")
                }
            };
            let line = format!(
                "generation {}: {target} {} is {what}",
                head.number, entry.version.revision
            );
            Some(crate::output::sanitize(&line))
        });
        lines.collect()
    }
}

/// The desired state of a namespace.
pub(crate) struct Store {
    nats: Nats,
    namespace: Namespace,
    desired: Bucket,
    garbage_age: Duration,
    history_max: usize,
}

/// Settings of the bucket of the desired state.
pub(super) fn desired_settings(namespace: &Namespace) -> BucketSettings {
    BucketSettings::kept(keys::desired_bucket(namespace))
}

/// Settings of the bucket of verdict records about canaries. Each is small, and holds as long as a
/// head may name its revision.
pub(super) fn verdict_settings(namespace: &Namespace) -> BucketSettings {
    BucketSettings::kept(keys::verdict_bucket(namespace))
}

/// Settings of the bucket of leases.
pub(super) fn presence_settings(namespace: &Namespace) -> BucketSettings {
    BucketSettings::leases(keys::presence_bucket(namespace), Duration::from_millis(fleet::LEASE_MS))
}

impl Store {
    /// Opens the store. Makes all buckets that do not exist, because bodies need not have the
    /// permission to do so.
    pub(crate) async fn open(nats: Nats, namespace: Namespace) -> Result<Self, StoreError> {
        let of_leases = presence_settings(&namespace);
        let of_verdicts = verdict_settings(&namespace);
        let of_heads = desired_settings(&namespace);
        let made = async {
            tokio::try_join!(
                nats.bucket(&of_heads),
                nats.bucket(&of_leases),
                nats.bucket(&of_verdicts)
            )
        };
        let (desired, ..) = Box::pin(made).await?;
        Ok(Self::of(nats, namespace, desired))
    }

    /// Opens the store; `None` if nothing was ever deployed.
    pub(crate) async fn existing(
        nats: Nats,
        namespace: Namespace,
    ) -> Result<Option<Self>, StoreError> {
        match nats.existing_bucket(&keys::desired_bucket(&namespace)).await {
            Ok(desired) => Ok(Some(Self::of(nats, namespace, desired))),
            Err(StoreError::NoBucket(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn of(nats: Nats, namespace: Namespace, desired: Bucket) -> Self {
        let garbage_age = Duration::from_millis(fleet::GARBAGE_AGE_MS);
        Self { nats, namespace, desired, garbage_age, history_max: fleet::HISTORY_MAX }
    }

    /// Returns the store with another age from which content is old.
    #[cfg(test)]
    pub(super) fn with_garbage_age(self, garbage_age: Duration) -> Self {
        Self { garbage_age, ..self }
    }

    /// Returns the store with another length of history.
    #[cfg(test)]
    pub(super) fn with_history_max(self, history_max: usize) -> Self {
        Self { history_max, ..self }
    }

    /// Returns the number of heads that can be returned to, including the present one.
    pub(super) fn history_max(&self) -> usize {
        self.history_max
    }

    /// Returns the age from which content may be collected.
    pub(super) fn garbage_age(&self) -> Duration {
        self.garbage_age
    }

    pub(super) fn desired(&self) -> &Bucket {
        &self.desired
    }

    pub(super) fn nats(&self) -> &Nats {
        &self.nats
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns a hint for the operator about the settings of the buckets.
    pub(crate) fn hint(&self) -> Option<String> {
        let replicas = self.desired.replicas().filter(|replicas| *replicas == 1)?;
        Some(format!(
            "{} lies on {replicas} server of a cluster: `nats stream edit KV_{} --replicas 3` keeps it when that one fails",
            self.desired.name(),
            self.desired.name()
        ))
    }

    /// True if this is the present head.
    pub(super) async fn is_head(&self, head: &Head) -> Result<bool, StoreError> {
        Ok(self
            .desired
            .get_latest(keys::HEAD)
            .await?
            .is_some_and(|entry| entry.value == head.encode()))
    }

    /// Reads the present head and its manifest.
    pub(crate) async fn now(&self) -> anyhow::Result<Now> {
        let Some(entry) = self.desired.get_latest(keys::HEAD).await? else {
            return Ok(Now::default());
        };
        let (head, damaged) = match Head::decode(&entry.value) {
            Ok(head) => (head, None),
            Err(error) => {
                let damaged = Some(entry.revision);
                let Some(head) = self.history().await?.latest().cloned() else {
                    tracing::warn!("{error}, and nothing was deployed before: deploy again");
                    return Ok(Now { damaged, ..Now::default() });
                };
                let number = head.number;
                tracing::warn!(
                    "{error}: generation {number}, the last before it, is used instead; to repair it, deploy everything"
                );
                (head, damaged)
            }
        };
        let (manifest, trees, lost) = self.read(head.manifest, &BTreeMap::new()).await?;
        let verdict_records = self.verdict_records(&manifest).await?;
        Ok(Now {
            head: Some((head, entry.revision)),
            manifest,
            trees,
            lost,
            verdict_records,
            damaged,
        })
    }

    /// Reads the verdict records about the canaries of a manifest.
    async fn verdict_records(
        &self,
        manifest: &Manifest,
    ) -> Result<BTreeMap<Target, VerdictRecord>, StoreError> {
        let canaries = manifest.entries().iter().filter_map(|(target, item)| {
            let entry = item.known().filter(|entry| entry.base.is_some())?;
            Some((target.clone(), entry.version.revision))
        });
        let canaries: Vec<_> = canaries.collect();
        if canaries.is_empty() {
            return Ok(BTreeMap::new());
        }
        let bucket = match self.nats.existing_bucket(&keys::verdict_bucket(&self.namespace)).await {
            Err(StoreError::NoBucket(_)) => return Ok(BTreeMap::new()),
            bucket => bucket?,
        };
        // By a consumer: the right to request one of them would be one to have it sent to any
        // subject.
        let all: BTreeMap<_, _> = bucket.all(">").await?.into_iter().collect();
        let found = canaries.into_iter().filter_map(|(target, revision)| {
            let entry = all.get(&keys::verdict(&target, revision))?;
            Some((target, VerdictRecord::decode(&entry.value)?))
        });
        Ok(found.collect())
    }

    /// Reads the manifest of a root.
    pub(crate) async fn manifest(&self, root: ContentHash) -> anyhow::Result<Manifest> {
        Ok(self.manifest_with(root, &BTreeMap::new()).await?.0)
    }

    /// Reads the manifest of a root, and the objects that it is made of. Some of them may be known
    /// already.
    pub(super) async fn manifest_with(
        &self,
        root: ContentHash,
        known: &BTreeMap<ContentHash, Bytes>,
    ) -> anyhow::Result<(Manifest, BTreeMap<ContentHash, Bytes>)> {
        let (manifest, trees, lost) = self.read(root, known).await?;
        if let Some(first) = lost.first() {
            let count = lost.len();
            anyhow::bail!(
                "{count} objects of a manifest are not there any more, among them {}",
                first.short()
            );
        }
        Ok((manifest, trees))
    }

    /// Reads the manifest of a root as far as it is stored. Returns it with its objects, and the
    /// hashes of the missing ones.
    pub(super) async fn read(
        &self,
        root: ContentHash,
        known: &BTreeMap<ContentHash, Bytes>,
    ) -> anyhow::Result<(Manifest, BTreeMap<ContentHash, Bytes>, Vec<ContentHash>)> {
        let mut trees = BTreeMap::<ContentHash, Bytes>::new();
        let mut lost = Vec::new();
        loop {
            let read = |hash: &ContentHash| {
                let instead = lost.contains(hash).then_some(EMPTY_LEAF.as_bytes());
                trees.get(hash).map(AsRef::as_ref).or(instead)
            };
            let missing = match Manifest::decode(root, read) {
                Ok(manifest) => return Ok((manifest, trees, lost)),
                Err(ManifestError::Incomplete(_)) if lost.contains(&root) => {
                    return Ok((Manifest::default(), trees, lost));
                }
                Err(ManifestError::Incomplete(missing)) => missing,
                Err(error) => return Err(error.into()),
            };
            let wanted = missing.into_iter().map(async |hash| match known.get(&hash) {
                Some(bytes) => Ok((hash, Some(bytes.clone()))),
                None => Ok::<_, StoreError>((hash, self.stored(&keys::tree(&hash), hash).await?)),
            });
            let found =
                stream::iter(wanted).buffer_unordered(REQUESTS_MAX).try_collect::<Vec<_>>().await?;
            for (hash, bytes) in found {
                match bytes {
                    Some(bytes) => _ = trees.insert(hash, bytes),
                    None => lost.push(hash),
                }
            }
            if lost.contains(&root) {
                return Ok((Manifest::default(), trees, lost));
            }
        }
    }

    /// Reads the text of a spec document.
    pub(crate) async fn spec(&self, hash: ContentHash) -> anyhow::Result<Bytes> {
        self.object(&keys::spec(&hash), hash).await
    }

    async fn object(&self, key: &str, hash: ContentHash) -> anyhow::Result<Bytes> {
        self.stored(key, hash)
            .await?
            .with_context(|| format!("`{key}` is not there any more: deploy again"))
    }

    /// Reads the value under a key. Returns `None` if it has another hash: then it counts as lost.
    async fn stored(&self, key: &str, hash: ContentHash) -> Result<Option<Bytes>, StoreError> {
        let is_right = |bytes: &Bytes| ContentHash::of(bytes) == hash;
        let entry = self.desired.get(key).await?.map(|entry| entry.value);
        match entry.filter(is_right) {
            Some(bytes) => Ok(Some(bytes)),
            // A cluster's replica may be behind.
            None => {
                Ok(self.desired.get_latest(key).await?.map(|entry| entry.value).filter(is_right))
            }
        }
    }

    /// Reads all heads that are kept.
    pub(crate) async fn history(&self) -> anyhow::Result<History> {
        // The current one first: a deployer that replaces it has put it into history before.
        let now = self.desired.get_latest(keys::HEAD).await?;
        let former = self.desired.all(&format!("{}*", keys::HISTORY)).await?;
        let all =
            former.into_iter().map(|(_, entry)| entry.value).chain(now.map(|entry| entry.value));
        // One that cannot be read is a newer program's: history reaches back to it.
        Ok(History::new(all.filter_map(|bytes| Head::decode(&bytes).ok())))
    }

    /// Reads the leases of the running bodies.
    pub(crate) async fn bodies(
        nats: &Nats,
        namespace: &Namespace,
    ) -> Result<Vec<Presence>, StoreError> {
        let bucket = match nats.existing_bucket(&keys::presence_bucket(namespace)).await {
            Err(StoreError::NoBucket(_)) => return Ok(Vec::new()),
            bucket => bucket?,
        };
        let all = bucket.all(">").await?;
        Ok(all.into_iter().filter_map(|(_, entry)| Presence::decode(&entry.value).ok()).collect())
    }

    /// Opens the bucket of leases, for a watch.
    pub(super) async fn presence(&self) -> Result<Bucket, StoreError> {
        self.nats.bucket(&presence_settings(&self.namespace)).await
    }
}
