//! One instance, from the order to start it until it is gone.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use bus_nats::{Nats, store::Bucket};
use cbs::{Namespace, Target};
use fleet::{ContentHash, Version, keys};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{Letter, cache::Cache};
use crate::{
    app::{Deployed, Instance, Instances},
    bundle::Bundle,
};

/// What instances are made with.
pub(super) struct Hands {
    pub(super) nats: Nats,
    pub(super) namespace: Namespace,
    pub(super) instances: Instances,
    pub(super) cache: Cache,
}

/// What is to be started.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) target: Target,
    pub(super) instance: u64,
    pub(super) version: Version,
    /// How long the start may take.
    pub(super) limit: Duration,
    /// Where the spec lies.
    pub(super) desired: Bucket,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) target: Target,
    pub(super) instance: u64,
    pub(super) version: Version,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// Calls reach it.
    Ready,
    /// It did not start, or ended by itself; another try may do better.
    Failed(String),
    /// This body cannot run it, however often it tries.
    Refused(String),
    /// It is gone, as it was told.
    Stopped,
}

/// Lives until it is told to stop, with how long its calls may take to finish, or fails.
pub(super) async fn live(
    hands: Arc<Hands>,
    order: Order,
    mut stop: oneshot::Receiver<Duration>,
    events: mpsc::Sender<Event>,
) {
    let tell = async |what| {
        let Order { target, instance, version, .. } = order.clone();
        // Nobody listens any more: the body ends.
        let _ = events.send(Event { target, instance, version, what }).await;
    };
    let started = tokio::select! {
        // What has not served has no calls to finish.
        _ = &mut stop => return tell(What::Stopped).await,
        started = timeout(order.limit, start(&hands, &order)) => started,
    };
    let instance = match started {
        Ok(Ok(instance)) => instance,
        Ok(Err(what)) => return tell(what).await,
        Err(_) => return tell(What::Failed(format!("it was not ready within {} s", order.limit.as_secs()))).await,
    };
    tell(What::Ready).await;
    let limit = tokio::select! {
        limit = &mut stop => limit.unwrap_or_default(),
        reason = instance.ended() => return tell(What::Failed(reason)).await,
    };
    if timeout(limit, instance.stop()).await.is_err() {
        tracing::warn!(target = %order.target, "its calls were not finished within {} s and were cut off", limit.as_secs());
    }
    tell(What::Stopped).await;
}

async fn start(hands: &Arc<Hands>, order: &Order) -> Result<Instance, What> {
    let failed = |error: anyhow::Error| What::Failed(format!("{error:#}"));
    // What this machine cannot hold now it may hold later; what this program cannot read it never will.
    let refused = |error: anyhow::Error| match error.chain().any(|cause| cause.is::<std::io::Error>()) {
        true => What::Failed(format!("{error:#}")),
        false => What::Refused(format!("{error:#}")),
    };
    let bytes = order.desired.get(&keys::spec(&order.version.spec)).await;
    let entry = bytes.map_err(|error| What::Failed(error.to_string()))?;
    let bytes = entry.ok_or_else(|| What::Failed("its spec is not there any more".to_owned()))?.value;
    if ContentHash::of(&bytes) != order.version.spec {
        return Err(What::Failed(format!("the spec {} has another hash: deploy again", order.version.spec.short())));
    }
    let letter = Letter::read(&bytes).map_err(refused)?;
    if let Some(hash) = order.version.bundle {
        unpack(hands, hash).await.map_err(failed)?;
    }
    let root = hands.cache.code(order.version.bundle);
    let schemas = hands.cache.schemas(order.version.spec);
    let loaded = tokio::task::spawn_blocking(move || letter.load(&root, &schemas)).await;
    let deployed = loaded.map_err(|error| What::Failed(error.to_string()))?.map_err(refused)?;
    let same = match &deployed {
        Deployed::Cell(spec) => order.target == Target::Cell(spec.name.clone()),
        Deployed::Flow(spec) => order.target == Target::Flow(spec.name.clone()),
    };
    if !same {
        return Err(What::Refused("its spec is another's".to_owned()));
    }
    hands.instances.check(&deployed).map_err(What::Refused)?;
    hands.instances.start(deployed).await.map_err(What::Failed)
}

/// Fetches a bundle and unpacks it, unless it is there.
async fn unpack(hands: &Arc<Hands>, hash: ContentHash) -> anyhow::Result<()> {
    let folder = hands.cache.code(Some(hash));
    if folder.is_dir() {
        return Ok(());
    }
    let store = hands.nats.objects(&keys::bundle_store(&hands.namespace), 1).await?;
    let bytes = store.get(&hash.to_string(), keys::BUNDLE_BYTES_MAX).await?;
    let bytes = bytes.with_context(|| format!("the bundle {} is not there any more: deploy again", hash.short()))?;
    let unpacked = tokio::task::spawn_blocking(move || {
        Bundle::decode(hash, &bytes)?.unpack(&folder)?;
        Ok(())
    });
    unpacked.await?
}
