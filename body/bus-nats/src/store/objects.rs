//! Objects larger than a message, in pieces.

use std::{collections::HashMap, sync::Arc};

use async_nats::{
    Client, HeaderMap,
    jetstream::{
        self,
        object_store::{
            self, DeleteErrorKind, GetErrorKind, ObjectInfo, ObjectOptions, ObjectStore,
        },
    },
};
use bytes::Bytes;
use cbs::Uuid;
use data_encoding::BASE64URL;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{
    REQUEST_LIMIT, StoreError, chain, has_too_few_servers, listing::silent, says_not_found,
    unavailable,
};
use crate::Nats;

/// Size of the pieces of an object, as other clients write them.
const PIECE_BYTES: usize = 128 * 1024;

/// A bucket of objects.
#[derive(Clone)]
pub struct Objects {
    pub(super) name: String,
    store: ObjectStore,
    pub(super) context: jetstream::Context,
    pub(super) client: Arc<Client>,
}

impl Nats {
    /// Opens a bucket of objects. If it does not exist, makes it with this number of replicas, or
    /// with as many as there are servers.
    ///
    /// # Errors
    /// [`StoreError::NoJetStream`], [`StoreError::Unavailable`].
    pub async fn objects(&self, name: &str, replicas: usize) -> Result<Objects, StoreError> {
        let store = match self.found_jetstream(name).await?.get_object_store(name).await {
            Err(error) if says_not_found(&error) => self.new_objects(name, replicas).await?,
            found => found.map_err(|error| unavailable(name, &error))?,
        };
        Ok(self.opened_objects(name, store))
    }

    /// Opens a bucket of objects that exists.
    ///
    /// # Errors
    /// [`StoreError::NoBucket`] besides those of [`Self::objects`].
    pub async fn existing_objects(&self, name: &str) -> Result<Objects, StoreError> {
        match self.found_jetstream(name).await?.get_object_store(name).await {
            Ok(store) => Ok(self.opened_objects(name, store)),
            Err(error) if says_not_found(&error) => Err(StoreError::NoBucket(name.to_owned())),
            Err(error) => Err(unavailable(name, &error)),
        }
    }

    async fn new_objects(&self, name: &str, replicas: usize) -> Result<ObjectStore, StoreError> {
        let mut replicas = replicas.max(1);
        loop {
            let config = object_store::Config {
                bucket: name.to_owned(),
                num_replicas: replicas,
                ..object_store::Config::default()
            };
            match self.jetstream().create_object_store(config).await {
                Err(error) if replicas > 1 && has_too_few_servers(&error) => replicas -= 1,
                made => return made.map_err(|error| unavailable(name, &error)),
            }
        }
    }

    fn opened_objects(&self, name: &str, store: ObjectStore) -> Objects {
        Objects { name: name.to_owned(), store, context: self.jetstream(), client: self.client() }
    }
}

impl Objects {
    /// Writes an object, and replaces an older one of its name. An object that cannot be written
    /// whole leaves nothing behind. If only its last part gets no answer, it may exist, and is then
    /// whole.
    ///
    /// It is written here and not by async-nats, which gives neither the server's refusal nor the
    /// name under which it left the pieces.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if there is no space, [`StoreError::Unavailable`].
    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let older = self.store.info(name).await.ok().map(|info| info.nuid);
        let nuid = Uuid::new_v4().simple().to_string();
        let pieces = self.put_pieces(bytes, &nuid).await;
        let is_whole = pieces.is_ok();
        let done = match pieces {
            Ok(()) => self.put_info(name, bytes, &nuid).await,
            failed => failed,
        };
        // The pieces of the object that was replaced, or of the one that was not written.
        let left = match &done {
            Ok(()) => older,
            // The server may have written it without an answer: then these are its pieces.
            Err(StoreError::Unavailable { .. }) if is_whole => None,
            Err(_) => Some(nuid),
        };
        if let Some(left) = left
            && let Err(error) = self.remove_pieces(&left).await
        {
            tracing::warn!("pieces of an object stay until old content is collected: {error}");
        }
        done
    }

    async fn put_pieces(&self, bytes: &[u8], nuid: &str) -> Result<(), StoreError> {
        let pieces = format!("$O.{}.C.{nuid}", self.name);
        let no_headers = HeaderMap::new();
        for piece in bytes.chunks(PIECE_BYTES) {
            self.publish(pieces.clone(), no_headers.clone(), Bytes::copy_from_slice(piece)).await?;
        }
        Ok(())
    }

    /// Writes the description of an object whose pieces are stored.
    async fn put_info(&self, name: &str, bytes: &[u8], nuid: &str) -> Result<(), StoreError> {
        let info = ObjectInfo {
            name: name.to_owned(),
            description: None,
            metadata: HashMap::new(),
            headers: None,
            options: Some(ObjectOptions { link: None, max_chunk_size: Some(PIECE_BYTES) }),
            bucket: self.name.clone(),
            nuid: nuid.to_owned(),
            size: bytes.len(),
            chunks: bytes.len().div_ceil(PIECE_BYTES),
            modified: Some(async_nats::datetime::now()),
            digest: Some(format!("SHA-256={}", BASE64URL.encode(&Sha256::digest(bytes)))),
            deleted: false,
        };
        let info = serde_json::to_vec(&info).map_err(|error| unavailable(&self.name, &error))?;
        let mut only_the_last = HeaderMap::new();
        only_the_last.insert("Nats-Rollup", "sub");
        let subject = format!("$O.{}.M.{}", self.name, BASE64URL.encode(name.as_bytes()));
        self.publish(subject, only_the_last, info.into()).await
    }

    async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), StoreError> {
        let wrong = |error| unavailable(&self.name, &error);
        let sent =
            self.context.publish_with_headers(subject, headers, payload).await.map_err(wrong)?;
        sent.await.map(drop).map_err(wrong)
    }

    /// Reads an object of at most `limit` bytes; `None` if there is none. The result is what was
    /// put: the store keeps a digest.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Unavailable`].
    pub async fn get(&self, name: &str, limit: usize) -> Result<Option<Bytes>, StoreError> {
        let object = match self.store.get(name).await {
            Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
            found => found.map_err(|error| unavailable(&self.name, &error))?,
        };
        let bytes = object.info().size;
        if bytes > limit {
            return Err(StoreError::TooLarge {
                bucket: self.name.clone(),
                key: name.to_owned(),
                bytes,
                limit,
            });
        }
        let mut read = Vec::with_capacity(bytes);
        let mut object = object.take(limit as u64);
        // Pieces that are replaced while they are read never come.
        while timeout(REQUEST_LIMIT, object.read_buf(&mut read))
            .await
            .map_err(|_| silent(&self.name))?
            .map_err(|error| StoreError::Unavailable {
                bucket: self.name.clone(),
                reason: chain(&error),
            })?
            > 0
        {}
        Ok(Some(read.into()))
    }

    /// True if there is an object of this name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has(&self, name: &str) -> Result<bool, StoreError> {
        match self.store.info(name).await {
            Ok(info) => Ok(!info.deleted),
            Err(error) if error.kind() == object_store::InfoErrorKind::NotFound => Ok(false),
            Err(error) => Err(unavailable(&self.name, &error)),
        }
    }

    /// Removes an object. Does nothing if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self.store.delete(name).await {
            Err(error) if error.kind() != DeleteErrorKind::NotFound => {
                Err(unavailable(&self.name, &error))
            }
            _ => Ok(()),
        }
    }

    /// Returns the names of all objects.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn names(&self) -> Result<Vec<String>, StoreError> {
        let mut list = self.store.list().await.map_err(|error| unavailable(&self.name, &error))?;
        let mut names = Vec::new();
        while let Some(object) = list.next().await {
            names.push(object.map_err(|error| unavailable(&self.name, &error))?.name);
        }
        Ok(names)
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
