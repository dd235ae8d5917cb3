//! A bucket as it changes.

use async_nats::jetstream::kv::{Operation, Watch};
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::timeout;

use super::{Bucket, Entry, REQUEST_LIMIT, StoreError, listing::silent, unavailable};

/// One change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// Its value; `None`: removed, or too old.
    pub value: Option<Bytes>,
    /// The revision of the bucket that the change made.
    pub revision: u64,
}

/// What a watch sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A key has this value: one of those that were there, or a new one.
    Change(Change),
    /// All that was there when the watch began has been told; comes once.
    Current,
}

/// What a bucket holds, then every change of it. Changes may be told twice or, after an outage, in one
/// leap: whoever must not miss one opens a new watch when the connection is back.
pub struct Watching {
    bucket: String,
    watch: Watch,
    /// How far the snapshot is.
    snapshot: Snapshot,
}

enum Snapshot {
    /// There is more to come.
    Coming,
    /// Its last change was told.
    Told,
    /// The end was told.
    Done,
}

impl Bucket {
    /// Watches the keys of a filter (`>` all, `spec.*` one level).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn watch(&self, filter: &str) -> Result<Watching, StoreError> {
        let watch = self.store.watch_with_history(filter).await.map_err(|error| self.unavailable(&error))?;
        // A watch of nothing never says that all has been told: the stream is asked.
        let snapshot = if self.is_empty(filter).await? { Snapshot::Told } else { Snapshot::Coming };
        Ok(Watching { bucket: self.name().to_owned(), watch, snapshot })
    }

    /// Whether no message is there under a filter, markers of removal included.
    async fn is_empty(&self, filter: &str) -> Result<bool, StoreError> {
        let subject = format!("$KV.{}.{filter}", self.name());
        let mut subjects =
            self.store.stream.info_with_subjects(subject).await.map_err(|error| self.unavailable(&error))?;
        match subjects.next().await {
            None => Ok(true),
            Some(Ok(_)) => Ok(false),
            Some(Err(error)) => Err(self.unavailable(&error)),
        }
    }

    /// All keys of a filter with their values.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], also where the server is silent for as long as a request may take.
    pub async fn all(&self, filter: &str) -> Result<Vec<(String, Entry)>, StoreError> {
        let mut watching = self.watch(filter).await?;
        let mut found = std::collections::BTreeMap::new();
        loop {
            match timeout(REQUEST_LIMIT, watching.next()).await.map_err(|_| silent(self.name()))?? {
                Seen::Current => return Ok(found.into_iter().collect()),
                Seen::Change(Change { key, value: Some(value), revision }) => {
                    found.insert(key, Entry { value, revision });
                }
                Seen::Change(Change { key, value: None, .. }) => _ = found.remove(&key),
            }
        }
    }
}

impl Watching {
    /// What is seen next. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the watch has ended: open another.
    pub async fn next(&mut self) -> Result<Seen, StoreError> {
        if matches!(self.snapshot, Snapshot::Told) {
            self.snapshot = Snapshot::Done;
            return Ok(Seen::Current);
        }
        let entry = match self.watch.next().await {
            Some(Ok(entry)) => entry,
            Some(Err(error)) => return Err(unavailable(&self.bucket, &error)),
            None => {
                let (bucket, reason) = (self.bucket.clone(), "the watch has ended".to_owned());
                return Err(StoreError::Unavailable { bucket, reason });
            }
        };
        if matches!(self.snapshot, Snapshot::Coming) && entry.seen_current {
            self.snapshot = Snapshot::Told;
        }
        let value = (entry.operation == Operation::Put).then_some(entry.value);
        Ok(Seen::Change(Change { key: entry.key, value, revision: entry.revision }))
    }
}
