//! Objects larger than a message, in pieces.

use async_nats::jetstream::object_store::{self, DeleteErrorKind, GetErrorKind, ObjectStore};
use bytes::Bytes;
use futures::StreamExt;
use tokio::io::AsyncReadExt;

use super::{StoreError, chain, says_not_found, unavailable};
use crate::Nats;

/// A bucket of objects.
#[derive(Clone)]
pub struct Objects {
    name: String,
    store: ObjectStore,
}

impl Nats {
    /// Opens a bucket of objects; makes it, with so many replicas, where it is not there.
    ///
    /// # Errors
    /// [`StoreError::NoJetStream`], [`StoreError::Unavailable`].
    pub async fn objects(&self, name: &str, replicas: usize) -> Result<Objects, StoreError> {
        let store = match self.jetstream().get_object_store(name).await {
            Err(error) if says_not_found(&error) => {
                let config = object_store::Config {
                    bucket: name.to_owned(),
                    num_replicas: replicas,
                    ..object_store::Config::default()
                };
                self.jetstream().create_object_store(config).await.map_err(|error| self.wrong(name, &error))?
            }
            found => found.map_err(|error| self.wrong(name, &error))?,
        };
        Ok(Objects { name: name.to_owned(), store })
    }
}

impl Objects {
    /// Writes an object, over an older one of its name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut bytes = bytes;
        self.store.put(name, &mut bytes).await.map(drop).map_err(|error| unavailable(&self.name, &error))
    }

    /// Reads an object of `limit` bytes at the most; `None` where there is none. What comes back is what was put:
    /// the store keeps a digest.
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
            return Err(StoreError::TooLarge { bucket: self.name.clone(), key: name.to_owned(), bytes, limit });
        }
        let mut read = Vec::with_capacity(bytes);
        let ended = object.take(limit as u64).read_to_end(&mut read).await;
        ended.map_err(|error| StoreError::Unavailable { bucket: self.name.clone(), reason: chain(&error) })?;
        Ok(Some(read.into()))
    }

    /// Whether there is an object of this name.
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

    /// Removes an object; nothing where it is not there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self.store.delete(name).await {
            Err(error) if error.kind() != DeleteErrorKind::NotFound => Err(unavailable(&self.name, &error)),
            _ => Ok(()),
        }
    }

    /// The names of all objects.
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
