//! One instance, from the order to start it until it has ended.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use bus_nats::{
    Nats,
    store::{Bucket, StoreError},
};
use cbs::{Bytes, Namespace, Stats, Target};
use fleet::{ContentHash, Version, keys};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::{
    SpecDocument,
    cache::{Cache, Code},
};
use crate::app::{Deployed, Instance, Instances, LifecycleEvent};

/// A bundle of this size or less is fetched without asking for its size first.
const BUNDLE_SMALL: usize = 1024 * 1024;
/// Limit of bundle bytes in memory at once, in MiB. Each bundle counts twice: as its bytes and as
/// its files. The largest bundle fits.
const BUNDLES_MIB: usize = 2 * keys::BUNDLE_BYTES_MAX / BUNDLE_SMALL;

/// The services from which instances are made.
pub(super) struct Executor {
    nats: Nats,
    namespace: Namespace,
    pub(super) instances: Instances,
    cache: Cache,
    /// Capacity for bundles that are being fetched, in MiB.
    memory: Semaphore,
}

/// Order to start one instance.
#[derive(Clone)]
pub(super) struct StartOrder {
    pub(super) target: Target,
    pub(super) instance: u64,
    pub(super) version: Version,
    /// True if the instance is a canary.
    pub(super) canary: bool,
    /// Limit of the time that the start may take.
    pub(super) limit: Duration,
    /// Bucket where the spec is stored.
    pub(super) desired: Bucket,
}

/// Command to an instance.
#[derive(Clone, Copy, Debug)]
pub(super) enum InstanceCommand {
    /// To end, with the time that its calls may take to finish.
    Stop(Duration),
    /// To take calls of its own from now on, with the time limit for that.
    Promote(Duration),
}

/// Event of an instance.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) instance: u64,
    pub(super) what: InstanceChange,
}

#[derive(Debug)]
pub(super) enum InstanceChange {
    /// Calls reach the instance. The value is its counters.
    Ready(Option<Arc<Stats>>),
    /// The instance ended by itself and is started again.
    Away,
    /// The instance did not start, or ended by itself. Another try may succeed.
    Failed(String),
    /// This body cannot run the instance, however often it tries.
    Refused(String),
    /// The instance has ended, as it was commanded.
    Stopped,
}

impl Executor {
    pub(super) fn new(
        nats: Nats,
        namespace: Namespace,
        instances: Instances,
        cache: Cache,
    ) -> Self {
        Self { nats, namespace, instances, cache, memory: Semaphore::new(BUNDLES_MIB) }
    }
}

/// Reports the events of one instance.
struct Reporter {
    instance: u64,
    events: mpsc::Sender<Event>,
}

impl Reporter {
    async fn report(&self, what: InstanceChange) {
        // Nobody listens any more: the body ends.
        let _ = self.events.send(Event { instance: self.instance, what }).await;
    }
}

/// Runs an instance until it is commanded to stop, or fails.
pub(super) async fn live(
    executor: Arc<Executor>,
    order: StartOrder,
    mut commands: mpsc::Receiver<InstanceCommand>,
    events: mpsc::Sender<Event>,
) {
    let reporter = Reporter { instance: order.instance, events };
    let started = tokio::select! {
        // What has not served has no calls to finish.
        _ = stop(&mut commands) => return reporter.report(InstanceChange::Stopped).await,
        // On the heap: a task that lives for days need not hold memory for its first second.
        started = timeout(order.limit, Box::pin(start(&executor, &order))) => started,
    };
    let late =
        || InstanceChange::Failed(format!("it was not ready within {} s", order.limit.as_secs()));
    let (mut instance, _code) = match started.unwrap_or_else(|_| Err(late())) {
        Ok(started) => started,
        Err(what) => {
            if let InstanceChange::Failed(reason) | InstanceChange::Refused(reason) = &what {
                executor.instances.report(
                    &order.target,
                    &order.version.revision.to_string(),
                    "failed",
                    Some(reason),
                );
            }
            return reporter.report(what).await;
        }
    };
    reporter.report(InstanceChange::Ready(instance.stats())).await;
    let ended = serve(&executor, &mut instance, &mut commands, &reporter).await;
    let limit = match &ended {
        Ok(limit) => *limit,
        Err((_, limit)) => *limit,
    };
    if !limit.is_zero() && timeout(limit, instance.stop()).await.is_err() {
        let seconds = limit.as_secs();
        tracing::warn!(target = %order.target, "its calls were not finished within {seconds} s and were cut off");
    }
    reporter
        .report(
            ended.map_or_else(
                |(reason, _)| InstanceChange::Failed(reason),
                |_| InstanceChange::Stopped,
            ),
        )
        .await;
}

/// Serves until the instance is commanded to stop (with the time that its calls may take) or ends
/// by itself (with the reason, and the time that running calls may take).
async fn serve(
    executor: &Executor,
    instance: &mut Instance,
    commands: &mut mpsc::Receiver<InstanceCommand>,
    reporter: &Reporter,
) -> Result<Duration, (String, Duration)> {
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            turn = instance.turn() => {
                match turn {
                    LifecycleEvent::Restarting => reporter.report(InstanceChange::Away).await,
                    LifecycleEvent::Recovered => reporter.report(InstanceChange::Ready(instance.stats())).await,
                    LifecycleEvent::Failed(reason) => return Err((reason, Duration::ZERO)),
                }
                continue;
            }
        };
        let limit = match command {
            Some(InstanceCommand::Promote(limit)) => limit,
            Some(InstanceCommand::Stop(limit)) => return Ok(limit),
            None => return Ok(Duration::ZERO),
        };
        let promoted = tokio::select! {
            limit = stop(commands) => return Ok(limit),
            promoted = timeout(limit, executor.instances.promote(instance)) => promoted,
        };
        match promoted.unwrap_or_else(|_| {
            Err(format!("no calls of its own reached it within {} s", limit.as_secs()))
        }) {
            Ok(()) => reporter.report(InstanceChange::Ready(instance.stats())).await,
            Err(reason) => return Err((reason, limit)),
        }
    }
}

/// Waits for the command to stop, and returns the time that calls may take to finish.
async fn stop(commands: &mut mpsc::Receiver<InstanceCommand>) -> Duration {
    loop {
        match commands.recv().await {
            Some(InstanceCommand::Stop(limit)) => return limit,
            Some(InstanceCommand::Promote(_)) => {}
            None => return Duration::ZERO,
        }
    }
}

async fn start(
    executor: &Arc<Executor>,
    order: &StartOrder,
) -> Result<(Instance, Option<Arc<Code>>), InstanceChange> {
    let failed = |error: anyhow::Error| InstanceChange::Failed(format!("{error:#}"));
    // What this machine cannot hold now it may hold later; what this program cannot read it never
    // will.
    let refused =
        |error: anyhow::Error| match error.chain().any(|cause| cause.is::<std::io::Error>()) {
            true => InstanceChange::Failed(format!("{error:#}")),
            false => InstanceChange::Refused(format!("{error:#}")),
        };
    let bytes = order.desired.get(&keys::spec(&order.version.spec)).await;
    let entry = bytes.map_err(|error| InstanceChange::Failed(error.to_string()))?;
    let bytes = entry
        .ok_or_else(|| InstanceChange::Failed("its spec is not there any more".to_owned()))?
        .value;
    if ContentHash::of(&bytes) != order.version.spec {
        return Err(InstanceChange::Failed(format!(
            "the spec {} has another hash: deploy again",
            order.version.spec.short()
        )));
    }
    let document = SpecDocument::read(&bytes).map_err(refused)?;
    let code = match order.version.bundle {
        Some(hash) => {
            Some(Box::pin(executor.cache.code(hash, fetch(executor, hash))).await.map_err(failed)?)
        }
        None => None,
    };
    let root = code
        .as_ref()
        .map_or_else(|| executor.cache.empty_folder(), |code| code.folder().to_owned());
    let schemas =
        executor.cache.scratch().map_err(|error| InstanceChange::Failed(error.to_string()))?;
    let loading =
        tokio::task::spawn_blocking(move || document.load(&root, &schemas.path().join("schemas")));
    let loaded = loading
        .await
        .map_err(|error| InstanceChange::Failed(error.to_string()))?
        .map_err(refused)?;
    let deployed = named(loaded, &order.version);
    let same = match &deployed {
        Deployed::Cell(spec) => order.target == Target::Cell(spec.name.clone()),
        Deployed::Flow(spec) => order.target == Target::Flow(spec.name.clone()),
    };
    if !same {
        return Err(InstanceChange::Refused("its spec is another's".to_owned()));
    }
    executor.instances.check(&deployed).map_err(InstanceChange::Refused)?;
    let canary = order.canary.then(|| order.version.revision.to_string().into());
    let instance =
        executor.instances.start(deployed, canary).await.map_err(InstanceChange::Failed)?;
    Ok((instance, code))
}

/// Gives a spec the revision of the fleet. A spec's own revision does not include its code; the
/// fleet's does, and users see that one everywhere.
fn named(deployed: Deployed, version: &Version) -> Deployed {
    let revision = version.revision.to_string();
    match deployed {
        Deployed::Cell(spec) => {
            let mut spec = Arc::unwrap_or_clone(spec);
            spec.metadata.revision = revision;
            Deployed::Cell(Arc::new(spec))
        }
        Deployed::Flow(spec) => {
            let mut spec = Arc::unwrap_or_clone(spec);
            spec.metadata.revision = revision;
            Deployed::Flow(Arc::new(spec))
        }
    }
}

/// Fetches a bundle as soon as there is capacity for it, and returns it with the permit for that
/// capacity.
async fn fetch(
    executor: &Executor,
    hash: ContentHash,
) -> anyhow::Result<(Bytes, tokio::sync::SemaphorePermit<'_>)> {
    let store = executor.nats.objects(&keys::bundle_store(&executor.namespace), 1).await?;
    let reserve = async |bytes: usize| {
        let mebibytes = 2 * bytes.div_ceil(BUNDLE_SMALL).max(1);
        executor
            .memory
            .acquire_many(u32::try_from(mebibytes.min(BUNDLES_MIB)).unwrap_or(u32::MAX))
            .await
    };
    let mut permit = reserve(BUNDLE_SMALL).await?;
    let mut got = store.get(&hash.to_string(), BUNDLE_SMALL).await;
    if let Err(StoreError::TooLarge { bytes, .. }) = got
        && bytes <= keys::BUNDLE_BYTES_MAX
    {
        // Given back first: a task that holds permits while it waits can wait for ever.
        drop(permit);
        permit = reserve(bytes).await?;
        got = store.get(&hash.to_string(), bytes).await;
    }
    let bytes = got?.with_context(|| {
        format!("the bundle {} is not there any more: deploy again", hash.short())
    })?;
    Ok((bytes, permit))
}
