//! Listing of a bucket without its values, and removal without a trace.
//!
//! A removal names the revision that was listed. The server carries it out as a purge of one
//! subject up to that revision. A value that another client has put meanwhile has a later revision
//! and stays. No marker is left behind; otherwise there would soon be more markers than values.

use std::time::{Duration, Instant};

use async_nats::{
    Client, Message,
    jetstream::{
        consumer::{Consumer, DeliverPolicy, ReplayPolicy, push::OrderedConfig},
        stream::{Info, Stream},
    },
};
use futures::StreamExt;
use jiff::Timestamp;
use tokio::time::timeout;

use super::{Bucket, Objects, REQUEST_LIMIT, StoreError, is_marker, unavailable};

/// Limit of the wait for the next of many messages. A message that was removed meanwhile never
/// comes.
const QUIET_MAX: Duration = Duration::from_secs(2);

/// One name in a bucket: its revision and its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredName {
    /// The key, or the object's name.
    pub name: String,
    /// The revision that put it there.
    pub revision: u64,
    /// Time since it was put there, by the server's clock, or less.
    pub age: Duration,
}

/// An object as it lies in its bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptObject {
    /// Its name, its revision and its age.
    pub kept: StoredName,
    /// Subject of its description.
    subject: String,
    /// Id of its pieces.
    nuid: String,
}

/// Times by the server's clock: now, and when a stream was made.
#[derive(serde::Deserialize)]
#[serde(from = "ListedObject")]
struct Times {
    ts: Timestamp,
    created: Timestamp,
}

/// The same as the server reports it. If a server reports no time, nothing looks old.
#[derive(serde::Deserialize)]
struct ListedObject {
    #[serde(default)]
    ts: String,
    created: String,
}

impl From<ListedObject> for Times {
    fn from(listed: ListedObject) -> Self {
        let created = listed.created.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        Self { ts: listed.ts.parse().unwrap_or(Timestamp::UNIX_EPOCH), created }
    }
}

impl Bucket {
    /// Returns the names of the keys of a filter (`>` all, `spec.*` one level).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn list(&self, filter: &str) -> Result<Vec<StoredName>, StoreError> {
        let prefix = self.subject("");
        let opened = self.opened().await?;
        let scan = Scan {
            bucket: self.name(),
            stream: &opened.store.stream,
            subject: format!("{prefix}{filter}"),
        };
        let now = self.times().await?.ts;
        let mut listed = Vec::new();
        for (message, revision, at) in scan.run(true, &opened.client).await? {
            let removed = message.headers.as_ref().is_some_and(is_marker);
            let name = message.subject.strip_prefix(&prefix).filter(|_| !removed);
            listed.extend(name.map(|name| StoredName {
                name: name.to_owned(),
                revision,
                age: since(now, at),
            }));
        }
        Ok(listed)
    }

    /// Returns the revision that removed a key; `None` if it exists, or never existed.
    pub(super) async fn removed_at(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let opened = self.opened().await?;
        let scan =
            Scan { bucket: self.name(), stream: &opened.store.stream, subject: self.subject(key) };
        let found = scan.run(true, &opened.client).await?;
        let removed =
            found.into_iter().find(|(message, ..)| message.headers.as_ref().is_some_and(is_marker));
        Ok(removed.map(|(_, revision, _)| revision))
    }

    /// Removes the value that a revision put under a key, and leaves nothing behind: watchers are
    /// not notified. Returns true if it was still there. A value that was put later stays.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remove_at(&self, key: &str, revision: u64) -> Result<bool, StoreError> {
        remove(self.name(), &self.opened().await?.store.stream, self.subject(key), Some(revision))
            .await
            .map(|gone| gone > 0)
    }

    /// Returns the age of the bucket, by the server's clock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn age(&self) -> Result<Duration, StoreError> {
        let Times { ts, created } = self.times().await?;
        Ok(Duration::try_from(ts.duration_since(created)).unwrap_or_default())
    }

    async fn times(&self) -> Result<Times, StoreError> {
        times(self.name(), &self.nats.jetstream(), &self.opened().await?.store.stream_name).await
    }
}

impl Objects {
    /// Returns the objects in the bucket.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn list(&self) -> Result<Vec<KeptObject>, StoreError> {
        let now = times(&self.name, &self.context, &self.stream_name()).await?.ts;
        let stream = self.stream().await?;
        let scan =
            Scan { bucket: &self.name, stream: &stream, subject: format!("$O.{}.M.>", self.name) };
        let mut listed = Vec::new();
        for (message, revision, at) in scan.run(false, &self.client).await? {
            let info: async_nats::jetstream::object_store::ObjectInfo =
                serde_json::from_slice(&message.payload)
                    .map_err(|error| unavailable(&self.name, &error))?;
            if !info.deleted {
                let kept = StoredName { name: info.name, revision, age: since(now, at) };
                listed.push(KeptObject {
                    kept,
                    subject: message.subject.to_string(),
                    nuid: info.nuid,
                });
            }
        }
        Ok(listed)
    }

    /// Removes an object as it was listed, with its pieces, and leaves nothing behind. Returns true
    /// if it was still there. An object that was put later stays.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remove_at(&self, object: &KeptObject) -> Result<bool, StoreError> {
        let stream = self.stream().await?;
        if remove(&self.name, &stream, object.subject.clone(), Some(object.kept.revision)).await?
            == 0
        {
            return Ok(false);
        }
        self.remove_pieces(&object.nuid).await?;
        Ok(true)
    }

    pub(super) async fn remove_pieces(&self, nuid: &str) -> Result<(), StoreError> {
        let pieces = format!("$O.{}.C.{nuid}", self.name);
        remove(&self.name, &self.stream().await?, pieces, None).await.map(drop)
    }

    /// Removes pieces that belong to no object and whose last came longer ago than `age`: a client
    /// that ended while it put an object leaves them. Returns the number of objects whose pieces
    /// they were.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sweep(&self, age: Duration) -> Result<usize, StoreError> {
        let stream = self.stream().await?;
        let prefix = format!("$O.{}.C.", self.name);
        let wrong = |error: &(dyn std::error::Error + 'static)| unavailable(&self.name, error);
        let mut pieces = Vec::new();
        let mut subjects =
            stream.info_with_subjects(format!("{prefix}>")).await.map_err(|error| wrong(&error))?;
        while let Some(subject) = subjects.next().await {
            pieces.push(subject.map_err(|error| wrong(&error))?.0);
        }
        // After the pieces: a client that had put all of them by then has also named them by now,
        // or they are young.
        let named: std::collections::BTreeSet<String> = self
            .list()
            .await?
            .into_iter()
            .map(|object| format!("{prefix}{}", object.nuid))
            .collect();
        let mut gone = 0;
        for subject in pieces.into_iter().filter(|subject| !named.contains(subject)) {
            let now = times(&self.name, &self.context, &self.stream_name()).await?.ts;
            // It was removed meanwhile.
            let Ok(last) = stream.get_last_raw_message_by_subject(&subject).await else { continue };
            if since(now, last.time.unix_timestamp_nanos()) > age {
                gone += usize::from(
                    remove(&self.name, &stream, subject, Some(last.sequence)).await? > 0,
                );
            }
        }
        Ok(gone)
    }

    fn stream_name(&self) -> String {
        format!("OBJ_{}", self.name)
    }

    async fn stream(&self) -> Result<Stream<Info>, StoreError> {
        self.context
            .get_stream(self.stream_name())
            .await
            .map_err(|error| unavailable(&self.name, &error))
    }
}

/// Scan of all that a stream holds under a subject.
struct Scan<'a> {
    bucket: &'a str,
    stream: &'a Stream<Info>,
    subject: String,
}

/// A message, its sequence, and the time it came, in nanoseconds since 1970.
type Found = (Message, u64, i128);

impl Scan<'_> {
    /// Returns the last message of each subject.
    async fn run(self, headers_only: bool, client: &Client) -> Result<Vec<Found>, StoreError> {
        let until = Instant::now() + REQUEST_LIMIT;
        while Instant::now() < until {
            if let Some(found) = self.once(headers_only, client.new_inbox()).await? {
                return Ok(found);
            }
        }
        Err(silent(self.bucket))
    }

    /// Scans once. Returns `None` if the last message does not come: another client has removed it
    /// meanwhile.
    async fn once(
        &self,
        headers_only: bool,
        inbox: String,
    ) -> Result<Option<Vec<Found>>, StoreError> {
        let wrong = |error: &(dyn std::error::Error + 'static)| unavailable(self.bucket, error);
        let config = OrderedConfig {
            deliver_subject: inbox,
            filter_subject: self.subject.clone(),
            headers_only,
            deliver_policy: DeliverPolicy::LastPerSubject,
            replay_policy: ReplayPolicy::Instant,
            ..OrderedConfig::default()
        };
        let consumer = self.stream.create_consumer(config).await.map_err(|error| wrong(&error))?;
        let name = consumer.cached_info().name.clone();
        let found = self.all(consumer).await;
        // It expires by itself after half a minute, but a server allows only a limited number.
        let _ = self.stream.delete_consumer(&name).await;
        found
    }

    async fn all(
        &self,
        consumer: Consumer<OrderedConfig>,
    ) -> Result<Option<Vec<Found>>, StoreError> {
        let wrong = |error: &(dyn std::error::Error + 'static)| unavailable(self.bucket, error);
        let mut found = Vec::new();
        if consumer.cached_info().num_pending == 0 {
            return Ok(Some(found));
        }
        let mut messages = consumer.messages().await.map_err(|error| wrong(&error))?;
        loop {
            let Ok(next) = timeout(QUIET_MAX, messages.next()).await else { return Ok(None) };
            let message =
                next.ok_or_else(|| silent(self.bucket))?.map_err(|error| wrong(&error))?;
            let info = message.info().map_err(|error| wrong(error.as_ref()))?;
            let sequence = info.stream_sequence;
            let at = info.published.unix_timestamp_nanos();
            let pending = info.pending;
            found.push((message.message, sequence, at));
            if pending == 0 {
                return Ok(Some(found));
            }
        }
    }
}

/// Removes what is under a subject, up to a sequence. Returns the number of messages removed.
async fn remove(
    bucket: &str,
    stream: &Stream<Info>,
    subject: String,
    revision: Option<u64>,
) -> Result<u64, StoreError> {
    let purge = stream.purge().filter(subject);
    let done = match revision {
        // The server stops before the sequence that it is given.
        Some(revision) => purge.sequence(revision.saturating_add(1)).await,
        None => purge.await,
    };
    done.map(|done| done.purged).map_err(|error| unavailable(bucket, &error))
}

async fn times(
    bucket: &str,
    context: &async_nats::jetstream::Context,
    stream: &str,
) -> Result<Times, StoreError> {
    use async_nats::jetstream::response::Response;
    let asked = context.request(format!("STREAM.INFO.{stream}"), &serde_json::json!({})).await;
    match asked.map_err(|error| unavailable(bucket, &error))? {
        Response::Ok(times) => Ok(times),
        Response::Err { error } => Err(unavailable(bucket, &error)),
    }
}

fn since(now: Timestamp, at: i128) -> Duration {
    u64::try_from(now.as_nanosecond() - at).map_or(Duration::ZERO, Duration::from_nanos)
}

pub(super) fn silent(bucket: &str) -> StoreError {
    StoreError::Unavailable { bucket: bucket.to_owned(), reason: "no answer in time".to_owned() }
}
