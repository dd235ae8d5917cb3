//! Objects larger than a message, in pieces.

use async_nats::{
    Client,
    jetstream::{
        self,
        object_store::{self, DeleteErrorKind, GetErrorKind, ObjectStore},
    },
};
use bytes::Bytes;
use futures::StreamExt;
use tokio::{io::AsyncReadExt, time::timeout};

use super::{REQUEST_LIMIT, StoreError, chain, has_too_few_servers, listing::silent, says_not_found, unavailable};
use crate::Nats;

/// A bucket of objects.
#[derive(Clone)]
pub struct Objects {
    pub(super) name: String,
    store: ObjectStore,
    pub(super) context: jetstream::Context,
    pub(super) client: Client,
}

impl Nats {
    /// Opens a bucket of objects; makes it, with so many replicas or as many as there are servers, where it is
    /// not there.
    ///
    /// # Errors
    /// [`StoreError::NoJetStream`], [`StoreError::Unavailable`].
    pub async fn objects(&self, name: &str, replicas: usize) -> Result<Objects, StoreError> {
        let store = match self.jetstream().get_object_store(name).await {
            Err(error) if says_not_found(&error) => self.new_objects(name, replicas).await?,
            found => found.map_err(|error| self.wrong(name, &error))?,
        };
        Ok(self.opened_objects(name, store))
    }

    /// Opens a bucket of objects that is there.
    ///
    /// # Errors
    /// [`StoreError::NoBucket`] besides those of [`Self::objects`].
    pub async fn existing_objects(&self, name: &str) -> Result<Objects, StoreError> {
        match self.jetstream().get_object_store(name).await {
            Ok(store) => Ok(self.opened_objects(name, store)),
            Err(error) if says_not_found(&error) => Err(StoreError::NoBucket(name.to_owned())),
            Err(error) => Err(self.wrong(name, &error)),
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
                made => return made.map_err(|error| self.wrong(name, &error)),
            }
        }
    }

    fn opened_objects(&self, name: &str, store: ObjectStore) -> Objects {
        Objects { name: name.to_owned(), store, context: self.jetstream(), client: self.client() }
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
        let mut object = object.take(limit as u64);
        // Pieces that are replaced while they are read do not come any more.
        while timeout(REQUEST_LIMIT, object.read_buf(&mut read))
            .await
            .map_err(|_| silent(&self.name))?
            .map_err(|error| StoreError::Unavailable { bucket: self.name.clone(), reason: chain(&error) })?
            > 0
        {}
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
