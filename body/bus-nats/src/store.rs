//! Storage that stays when a body ends: buckets of keys and values, and of large objects, in
//! JetStream.
//!
//! Thin over JetStream's own key-value and object stores, which any NATS client reads
//! (<https://docs.nats.io/nats-concepts/jetstream/key-value-store>).

mod errors;
mod listing;
mod objects;
mod watch;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use async_nats::{
    Client, HeaderMap,
    jetstream::{
        self,
        context::{AccountErrorKind, CreateKeyValueErrorKind},
        kv::{self, UpdateErrorKind},
        message::StreamMessage,
        stream::{DirectGetErrorKind, LastRawMessageErrorKind, StorageType},
    },
};
use bytes::Bytes;

use self::errors::{IS_OFF, chain, has_too_few_servers, refused_with, says_not_found, unavailable};
pub use self::{
    listing::{KeptObject, StoredName},
    objects::Objects,
    watch::{KeyChange, KeyWatch, WatchEvent},
};
use crate::Nats;

/// Limit of the time of one request to JetStream. A leader's election takes 4 to 9 s.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// Limit of the time of the first question if the server itself has no JetStream: whether another
/// server of its cluster has it. If none has, the answer comes at once, unless a client subscribes
/// to `>`.
const FIRST_LIMIT_ELSEWHERE: Duration = Duration::from_secs(3);

/// Number of servers of a cluster that keep a bucket: enough to go on when one of them fails.
pub const REPLICAS_DEFAULT: usize = 3;

/// Reason why a store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another client has changed the key meanwhile, or made it.
    #[error("{bucket}: another has written `{key}` meanwhile")]
    Conflict {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// There is no such bucket yet.
    #[error("there is no bucket {0}")]
    NoBucket(String),
    /// The server was started without JetStream, and no other server of its cluster offers it to
    /// this account.
    #[error(
        "the server offers no JetStream: start it with `-js`, or put `jetstream {{}}` into its configuration; if another \
         server of its cluster has it, enable it for this account"
    )]
    NoJetStream,
    /// The server did not answer, or cannot do it now. It may succeed later.
    #[error("{bucket}: {reason}")]
    Unavailable {
        /// The bucket.
        bucket: String,
        /// Description of the error.
        reason: String,
    },
    /// The server answered and refused. It will refuse again.
    #[error("{bucket}: the server refuses: {reason}")]
    Refused {
        /// The bucket.
        bucket: String,
        /// Reason for the refusal.
        reason: String,
    },
    /// The value is larger than allowed.
    #[error("{bucket}: `{key}` has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// Size of the value in bytes.
        bytes: usize,
        /// Limit in bytes.
        limit: usize,
    },
}

/// Settings of a bucket. A bucket always keeps one value per key as its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSettings {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// True if it is in the server's memory, and lost with the server.
    pub in_memory: bool,
    /// Values older than this are removed, and watchers are notified; at least a second.
    pub age_max: Option<Duration>,
    /// Number of servers of a cluster that keep it; fewer, if there are not so many.
    pub replicas: usize,
}

impl BucketSettings {
    /// Returns the settings of a bucket on disk whose values stay.
    #[must_use]
    pub fn kept(name: impl Into<String>) -> Self {
        Self { name: name.into(), in_memory: false, age_max: None, replicas: REPLICAS_DEFAULT }
    }

    /// Returns the settings of a bucket of leases: in memory. A holder that does not renew its
    /// value within `age_max` loses it.
    #[must_use]
    pub fn leases(name: impl Into<String>, age_max: Duration) -> Self {
        Self { in_memory: true, age_max: Some(age_max), ..Self::kept(name) }
    }
}

/// A value and its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// The value. Empty if it is an answer of JetStream that a client made the server send to this
    /// key, and not a value that a client put. That is logged as an error.
    pub value: Bytes,
    /// Grows with every change of the bucket; for [`Bucket::update`].
    pub revision: u64,
}

/// A bucket of keys and values.
#[derive(Clone)]
pub struct Bucket {
    nats: Nats,
    name: String,
    opened: Arc<ArcSwap<Opened>>,
}

/// A bucket as one client has opened it.
struct Opened {
    client: Arc<Client>,
    store: kv::Store,
}

impl Nats {
    fn jetstream(&self) -> jetstream::Context {
        let mut context = jetstream::new(async_nats::Client::clone(&self.client()));
        context.set_timeout(REQUEST_LIMIT);
        context
    }

    /// Returns JetStream to open something in. If the server itself has none, asks once whether
    /// another one has.
    /// Only an answer that says so proves that there is none: silence may also mean that the other
    /// servers are away. `bucket` is named in the error.
    async fn found_jetstream(&self, bucket: &str) -> Result<jetstream::Context, StoreError> {
        let mut context = self.jetstream();
        let found = self.found_jetstream_elsewhere();
        if self.server().jetstream || found.load(Ordering::Relaxed) {
            return Ok(context);
        }
        context.set_timeout(FIRST_LIMIT_ELSEWHERE);
        if let Err(error) = context.query_account().await {
            match error.kind() {
                AccountErrorKind::JetStreamUnavailable => return Err(StoreError::NoJetStream),
                AccountErrorKind::JetStream(refused) if IS_OFF.contains(&refused.error_code()) => {
                    return Err(StoreError::NoJetStream);
                }
                // Its servers are choosing a leader, for example.
                AccountErrorKind::JetStream(_) => {}
                AccountErrorKind::TimedOut => return Err(no_answer_elsewhere(bucket)),
                AccountErrorKind::Other => return Err(unavailable(bucket, &error)),
            }
        }
        found.store(true, Ordering::Relaxed);
        Ok(self.jetstream())
    }

    /// Opens a bucket, and makes it if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::NoJetStream`], [`StoreError::Unavailable`].
    pub async fn bucket(&self, settings: &BucketSettings) -> Result<Bucket, StoreError> {
        match self.existing_bucket(&settings.name).await {
            Err(StoreError::NoBucket(_)) => {}
            found => return found,
        }
        let config = |replicas: usize| kv::Config {
            bucket: settings.name.clone(),
            history: 1,
            max_age: settings.age_max.unwrap_or_default(),
            limit_markers: settings.age_max.map(|_| Duration::from_secs(1)),
            storage: if settings.in_memory { StorageType::Memory } else { StorageType::File },
            num_replicas: replicas,
            ..kv::Config::default()
        };
        let mut replicas = settings.replicas.max(1);
        loop {
            match self.jetstream().create_key_value(config(replicas)).await {
                Ok(store) => return Ok(self.opened(store)),
                Err(error) if replicas > 1 && has_too_few_servers(&error) => replicas -= 1,
                // Another client may have been faster.
                Err(error) if error.kind() == CreateKeyValueErrorKind::BucketCreate => {
                    return match self.existing_bucket(&settings.name).await {
                        Err(StoreError::NoBucket(_)) => Err(unavailable(&settings.name, &error)),
                        found => found,
                    };
                }
                Err(error) => return Err(unavailable(&settings.name, &error)),
            }
        }
    }

    /// Opens a bucket that exists.
    ///
    /// # Errors
    /// [`StoreError::NoBucket`] besides those of [`Self::bucket`].
    pub async fn existing_bucket(&self, name: &str) -> Result<Bucket, StoreError> {
        match self.found_jetstream(name).await?.get_key_value(name).await {
            Ok(store) => Ok(self.opened(store)),
            Err(error) if says_not_found(&error) => Err(StoreError::NoBucket(name.to_owned())),
            Err(error) => Err(unavailable(name, &error)),
        }
    }

    fn opened(&self, store: kv::Store) -> Bucket {
        let name = store.name.clone();
        let opened = ArcSwap::from_pointee(Opened { client: self.client(), store });
        Bucket { nats: self.clone(), name, opened: Arc::new(opened) }
    }
}

/// Returns the error for silence after the question whether another server has JetStream: if a
/// client subscribes to all subjects, it is also the only sign that none has.
fn no_answer_elsewhere(bucket: &str) -> StoreError {
    let reason = format!(
        "no answer from JetStream within {FIRST_LIMIT_ELSEWHERE:?}, and this server has none: start it with `-js`, or \
         start the server of its cluster that has JetStream"
    );
    StoreError::Unavailable { bucket: bucket.to_owned(), reason }
}

impl Bucket {
    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the bucket as the current client has opened it: the client before may have ended by
    /// itself.
    async fn opened(&self) -> Result<Arc<Opened>, StoreError> {
        let opened = self.opened.load_full();
        if Arc::ptr_eq(&opened.client, &self.nats.client()) {
            return Ok(opened);
        }
        let opened = self.nats.existing_bucket(&self.name).await?.opened.load_full();
        self.opened.store(opened.clone());
        Ok(opened)
    }

    /// Returns the number of servers that keep it, if the servers are a cluster; `None` on a single
    /// server.
    #[must_use]
    pub fn replicas(&self) -> Option<usize> {
        let opened = self.opened.load();
        let info = opened.store.stream.cached_info();
        // A single server reports itself as a leader without a cluster.
        info.cluster
            .as_ref()
            .and_then(|cluster| cluster.name.as_ref())
            .map(|_| info.config.num_replicas)
    }

    /// Returns the value of a key as the leader of a cluster has it, never a stale one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn get_latest(&self, key: &str) -> Result<Option<KeyEntry>, StoreError> {
        let opened = self.opened().await?;
        match opened.store.stream.get_last_raw_message_by_subject(&self.subject(key)).await {
            Ok(message) => Ok(self.entry(key, message, 0)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    /// Returns the value of a key. In a cluster it may be slightly stale: decide by
    /// [`Self::update`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn get(&self, key: &str) -> Result<Option<KeyEntry>, StoreError> {
        let opened = self.opened().await?;
        if !opened.store.stream.cached_info().config.allow_direct {
            return self.get_latest(key).await;
        }
        match opened.store.stream.direct_get_last_for_subject(self.subject(key)).await {
            // The server adds its headers to those that are there.
            Ok(message) => Ok(self.entry(key, message, 1)),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    /// Returns the entry in a message; `None` if the message says that there is none.
    fn entry(&self, key: &str, message: StreamMessage, added: usize) -> Option<KeyEntry> {
        if is_marker(&message.headers) {
            return None;
        }
        let value = value(&self.name, key, &message.headers, message.payload, added);
        Some(KeyEntry { value, revision: message.sequence })
    }

    /// Writes a value, with or without an older one, and returns its revision.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TooLarge`].
    pub async fn put(&self, key: &str, value: Bytes) -> Result<u64, StoreError> {
        self.check_size(key, &value)?;
        self.opened().await?.store.put(key, value).await.map_err(|error| self.unavailable(&error))
    }

    /// Writes a value if there is none, and returns its revision.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if there is one, otherwise as [`Self::put`].
    pub async fn create(&self, key: &str, value: Bytes) -> Result<u64, StoreError> {
        match self.update(key, value.clone(), 0).await {
            Err(conflict @ StoreError::Conflict { .. }) => match self.removed_at(key).await? {
                Some(revision) => self.update(key, value, revision).await,
                None => Err(conflict),
            },
            done => done,
        }
    }

    /// Replaces the value of the given revision, and returns the new revision: compare and set.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if another client has written meanwhile, otherwise as
    /// [`Self::put`].
    pub async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, StoreError> {
        self.check_size(key, &value)?;
        self.opened().await?.store.update(key, value, revision).await.map_err(|error| {
            match error.kind() {
                UpdateErrorKind::WrongLastRevision => self.conflict(key),
                // The servers of the cluster are just agreeing on another value.
                _ if refused_with(
                    &error,
                    jetstream::ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT,
                ) =>
                {
                    self.conflict(key)
                }
                _ => self.unavailable(&error),
            }
        })
    }

    /// Removes a key and all that is left of it. Does nothing if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.opened().await?.store.purge(key).await.map_err(|error| self.unavailable(&error))
    }

    fn check_size(&self, key: &str, value: &Bytes) -> Result<(), StoreError> {
        let limit = self.nats.client().max_payload();
        if value.len() <= limit {
            return Ok(());
        }
        Err(StoreError::TooLarge {
            bucket: self.name().to_owned(),
            key: key.to_owned(),
            bytes: value.len(),
            limit,
        })
    }

    fn conflict(&self, key: &str) -> StoreError {
        StoreError::Conflict { bucket: self.name().to_owned(), key: key.to_owned() }
    }

    fn unavailable(&self, error: &(dyn std::error::Error + 'static)) -> StoreError {
        unavailable(self.name(), error)
    }
}

/// Headers of JetStream's answers to questions for stored messages, and of messages that it
/// republishes. An answer goes to the subject that the question names, also to a key that the
/// asking client may not write. Its payload is a value that another client may have put.
const ANSWER_HEADERS: [&str; 6] = [
    "Nats-Stream",
    "Nats-Subject",
    "Nats-Sequence",
    "Nats-Time-Stamp",
    "Nats-Last-Sequence",
    "Nats-Num-Pending",
];

/// Returns the payload of a stored message, or nothing if it is an answer of JetStream. `added` is
/// the number of each of its headers that this kind of read adds.
fn value(bucket: &str, key: &str, headers: &HeaderMap, payload: Bytes, added: usize) -> Bytes {
    if ANSWER_HEADERS.iter().all(|name| headers.get_all(*name).count() <= added) {
        return payload;
    }
    tracing::error!(
        bucket,
        key = key.escape_debug().to_string(),
        "a response of JetStream is stored under a key and is ignored: a client had the server send it there; deploy again"
    );
    Bytes::new()
}

/// True if a message says that a key was removed or expired.
fn is_marker(headers: &HeaderMap) -> bool {
    headers.get("KV-Operation").is_some() || headers.get("Nats-Marker-Reason").is_some()
}
