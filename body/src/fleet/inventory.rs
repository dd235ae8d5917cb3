//! Inventory of the buckets of a namespace: a deployer must know which objects are stored and how
//! old they are.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use bus_nats::store::{KeptObject, Objects, REPLICAS_DEFAULT, StoreError, StoredName};
use fleet::{
    ContentHash,
    keys::{self, Key},
};

use super::Store;

/// All stored objects, as they were listed at one moment.
#[derive(Debug)]
pub(crate) struct Inventory {
    pub(super) trees: BTreeMap<ContentHash, StoredName>,
    pub(super) specs: BTreeMap<ContentHash, StoredName>,
    pub(super) bundles: BTreeMap<ContentHash, KeptObject>,
    /// Former heads, by number.
    pub(super) history: BTreeMap<u64, StoredName>,
    taken: (Instant, SystemTime),
}

impl Default for Inventory {
    /// Makes an inventory of nothing, taken now.
    fn default() -> Self {
        let (trees, specs, bundles, history) = Default::default();
        Self { trees, specs, bundles, history, taken: (Instant::now(), SystemTime::now()) }
    }
}

impl Inventory {
    /// Returns the time since it was listed, including time during which the machine was suspended.
    pub(super) fn age(&self) -> Duration {
        let (instant, time) = self.taken;
        instant.elapsed().max(time.elapsed().unwrap_or_default())
    }
}

impl Store {
    /// Lists the stored objects whose content matches their name. All others count as lost, and are
    /// put again.
    pub(crate) async fn sound_stock(&self) -> Result<Inventory, StoreError> {
        let mut inventory = Box::pin(self.inventory()).await?;
        for (name, entry) in Box::pin(self.desired().all(&format!("{}*", keys::SPEC))).await? {
            if let Some(Key::Spec(hash)) = keys::desired_key(&name)
                && ContentHash::of(&entry.value) != hash
            {
                tracing::warn!(
                    "what lies under `{name}` has another hash: it is put anew where it is at hand"
                );
                inventory.specs.remove(&hash);
            }
        }
        Ok(inventory)
    }

    /// Lists the stored objects.
    pub(crate) async fn inventory(&self) -> Result<Inventory, StoreError> {
        let mut inventory = Inventory::default();
        let of_bundles = async {
            match self.existing_bundles().await? {
                Some(bundles) => bundles.list().await,
                None => Ok(Vec::new()),
            }
        };
        let (listed, bundles) =
            tokio::try_join!(Box::pin(self.desired().list(">")), Box::pin(of_bundles))?;
        for kept in listed {
            match keys::desired_key(&kept.name) {
                Some(Key::Tree(hash)) => _ = inventory.trees.insert(hash, kept),
                Some(Key::Spec(hash)) => _ = inventory.specs.insert(hash, kept),
                Some(Key::History(number)) => _ = inventory.history.insert(number, kept),
                // What a newer program keeps there is its own business.
                Some(Key::Head) | None => {}
            }
        }
        let named =
            bundles.into_iter().filter_map(|object| Some((object.kept.name.parse().ok()?, object)));
        inventory.bundles = named.collect();
        Ok(inventory)
    }

    /// Opens the store of cell code, and makes it if it does not exist.
    pub(super) async fn bundles(&self) -> Result<Objects, StoreError> {
        self.nats().objects(&keys::bundle_store(self.namespace()), REPLICAS_DEFAULT).await
    }

    /// Opens the store of cell code; `None` if no cell with code was ever deployed.
    pub(super) async fn existing_bundles(&self) -> Result<Option<Objects>, StoreError> {
        match self.nats().existing_objects(&keys::bundle_store(self.namespace())).await {
            Ok(bundles) => Ok(Some(bundles)),
            Err(StoreError::NoBucket(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
