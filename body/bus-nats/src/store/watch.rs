//! Watches of a bucket's changes.

use async_nats::{
    Message,
    jetstream::consumer::{
        DeliverPolicy, ReplayPolicy,
        push::{Ordered, OrderedConfig},
    },
};
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::timeout;

use super::{
    Bucket, KeyEntry, REQUEST_LIMIT, StoreError, is_marker, listing::silent, unavailable, value,
};

/// One change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// Its value, as [`KeyEntry::value`]; `None`: removed, or expired.
    pub value: Option<Bytes>,
    /// The revision of the bucket that the change made.
    pub revision: u64,
}

/// One event of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// A key has this value: one of the existing keys, or a new one.
    Change(KeyChange),
    /// All values that existed when the watch began have been reported. Comes once.
    Current,
}

/// Watch of a bucket: its values, then every change. A change may be reported twice, and after an
/// outage several changes may come as one. A caller that must not miss one opens a new watch when
/// the connection is back.
pub struct KeyWatch {
    bucket: String,
    /// Part of a subject before the key.
    prefix: String,
    messages: Ordered,
    /// State of the first listing.
    snapshot: Snapshot,
}

enum Snapshot {
    /// More changes are to come.
    Coming,
    /// Its last change was reported.
    Told,
    /// Its end was reported.
    Done,
}

impl Bucket {
    /// Watches the keys of a filter (`>` all, `spec.*` one level).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn watch(&self, filter: &str) -> Result<KeyWatch, StoreError> {
        let opened = self.opened().await?;
        let config = OrderedConfig {
            deliver_subject: opened.client.new_inbox(),
            filter_subject: self.subject(filter),
            deliver_policy: DeliverPolicy::LastPerSubject,
            replay_policy: ReplayPolicy::Instant,
            ..OrderedConfig::default()
        };
        let consumer = opened
            .store
            .stream
            .create_consumer(config)
            .await
            .map_err(|error| self.unavailable(&error))?;
        let snapshot =
            if consumer.cached_info().num_pending == 0 { Snapshot::Told } else { Snapshot::Coming };
        let messages = consumer.messages().await.map_err(|error| self.unavailable(&error))?;
        Ok(KeyWatch {
            bucket: self.name().to_owned(),
            prefix: self.subject(""),
            messages,
            snapshot,
        })
    }

    /// Returns all keys of a filter with their values.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], also if the server does not answer within the limit of a
    /// request.
    pub async fn all(&self, filter: &str) -> Result<Vec<(String, KeyEntry)>, StoreError> {
        let mut watch = self.watch(filter).await?;
        let mut found = std::collections::BTreeMap::new();
        loop {
            match timeout(REQUEST_LIMIT, watch.next()).await.map_err(|_| silent(self.name()))?? {
                WatchEvent::Current => return Ok(found.into_iter().collect()),
                WatchEvent::Change(KeyChange { key, value: Some(value), revision }) => {
                    found.insert(key, KeyEntry { value, revision });
                }
                WatchEvent::Change(KeyChange { key, value: None, .. }) => _ = found.remove(&key),
            }
        }
    }
}

impl KeyWatch {
    /// Returns the next event. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the watch has ended: open another one.
    pub async fn next(&mut self) -> Result<WatchEvent, StoreError> {
        if matches!(self.snapshot, Snapshot::Told) {
            self.snapshot = Snapshot::Done;
            return Ok(WatchEvent::Current);
        }
        let message = match self.messages.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(unavailable(&self.bucket, &error)),
            None => {
                let bucket = self.bucket.clone();
                let reason = "the watch has ended".to_owned();
                return Err(StoreError::Unavailable { bucket, reason });
            }
        };
        let info = message.info().map_err(|error| unavailable(&self.bucket, error.as_ref()))?;
        if matches!(self.snapshot, Snapshot::Coming) && info.pending == 0 {
            self.snapshot = Snapshot::Told;
        }
        let revision = info.stream_sequence;
        let Message { subject, payload, headers, .. } = message.message;
        let (key, headers) =
            (subject.strip_prefix(&self.prefix).unwrap_or_default(), headers.unwrap_or_default());
        let value = (!is_marker(&headers)).then(|| value(&self.bucket, key, &headers, payload, 0));
        Ok(WatchEvent::Change(KeyChange { key: key.to_owned(), value, revision }))
    }
}
