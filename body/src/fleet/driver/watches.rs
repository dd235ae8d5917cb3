//! Watches of a body on the buckets, and its writes to them. All of this runs beside the driver's
//! own task.

use std::{collections::BTreeSet, time::Duration};

use bus_nats::{
    LinkState, Nats,
    store::{Bucket, BucketSettings, KeyChange, KeyWatch, StoreError, WatchEvent},
};
use cbs::{BodyId, Bytes, Namespace, Target};
use fleet::{
    ContentHash, Revision, VerdictRecord,
    keys::{self, Key},
};
use futures::{StreamExt, stream};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::fleet::store::{REQUESTS_MAX, presence_settings, verdict_settings};

/// Limit of the time for one piece of work. After it the work is started again.
const WORK_LIMIT: Duration = Duration::from_secs(10);
/// Limit of the time for putting a lease. With it, a second try still fits into the three seconds
/// that the last lease lasts.
const PUT_LIMIT: Duration = Duration::from_millis(750);
/// Time before watches that failed are opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// Time between two checks for the first deploy.
const SEEK_EVERY: Duration = Duration::from_secs(1);
/// Limit of the time that an ending body waits until its lease is removed.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);
/// Limit of objects that wait to be read, besides those that are being fetched.
const FETCHED_MAX: usize = 16;

/// The open watches of one connection.
pub(super) struct Open {
    presence: Bucket,
    leases: KeyWatch,
    /// `None`: nothing was ever deployed.
    desired: Option<(Bucket, KeyWatch)>,
    verdicts: Option<Verdicts>,
}

/// The existing verdict records, and a watch for new ones.
pub(super) struct Verdicts {
    pub(super) known: Vec<KeyChange>,
    watching: KeyWatch,
}

/// An object that was fetched, and checked against its hash.
type Fetched = (Key, Bytes);

/// Result of a piece of work.
pub(super) enum Done {
    /// The watches were opened, on the connection of this number.
    Opened(u64, Box<Result<Open, StoreError>>),
    /// The first deploy was found, on the connection of this number.
    Born(u64, Box<(Bucket, KeyWatch)>),
    /// The bucket of verdict records was found, on the connection of this number.
    Judges(u64, Box<Verdicts>),
    /// All objects that could be fetched were fetched, on the connection of this number.
    Fetched(u64),
    Put(Result<(), StoreError>),
    Head(Result<Option<(Bytes, u64)>, StoreError>),
    /// The verdict record about a canary is stored. The flag is true if this body was the first to
    /// write it.
    Ruled(Target, Revision, Result<(VerdictRecord, bool), StoreError>),
    Nothing,
}

pub(super) struct Watches {
    nats: Nats,
    namespace: Namespace,
    body: BodyId,
    pub(super) link: watch::Receiver<LinkState>,
    pub(super) open_watches: OpenWatches,
    pub(super) desired: Option<Bucket>,
    presence: Option<Bucket>,
    pub(super) work: JoinSet<Done>,
    /// Number of the connection: work that was started on a former one is of no use.
    epoch: u64,
    /// Tasks that search or fetch on this connection. They end with it.
    seekers: Vec<AbortHandle>,
    pub(super) under_way: UnderWay,
    /// Fetched objects, one at a time.
    pub(super) fetched: (mpsc::Sender<Fetched>, mpsc::Receiver<Fetched>),
}

#[derive(Default)]
pub(super) struct OpenWatches {
    pub(super) head: Option<KeyWatch>,
    pub(super) leases: Option<KeyWatch>,
    pub(super) verdicts: Option<KeyWatch>,
}

/// Kinds of work that run only once at a time.
#[derive(Default)]
pub(super) struct UnderWay {
    pub(super) fetching: bool,
    pub(super) putting: bool,
    recording: BTreeSet<(Target, Revision)>,
    /// Task that searches for the bucket of verdict records.
    judges: Option<AbortHandle>,
    /// Revision of the head that the watch reported last; 0 if there is no head.
    pub(super) watched: u64,
    /// Revision that a check found, and the different one that the watch had reported.
    apart: Option<(u64, u64)>,
}

/// Waits for the next event of a watch. Never returns if there is no watch. Cancel-safe.
pub(super) async fn seen(watching: &mut Option<KeyWatch>) -> Result<WatchEvent, StoreError> {
    match watching {
        Some(watching) => watching.next().await,
        None => std::future::pending().await,
    }
}

impl Watches {
    pub(super) fn new(
        nats: Nats,
        namespace: Namespace,
        body: BodyId,
        link: watch::Receiver<LinkState>,
    ) -> Self {
        Self {
            nats,
            namespace,
            body,
            link,
            open_watches: OpenWatches::default(),
            desired: None,
            presence: None,
            work: JoinSet::new(),
            epoch: 0,
            seekers: Vec::new(),
            under_way: UnderWay::default(),
            fetched: mpsc::channel(FETCHED_MAX),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        *self.link.borrow() == LinkState::Up
    }

    /// Opens the watches after some time.
    pub(super) fn open(&mut self, after: Duration) {
        self.forget();
        let nats = self.nats.clone();
        let namespace = self.namespace.clone();
        let epoch = self.epoch;
        self.seeker(async move {
            sleep(after).await;
            let opened = timeout(WORK_LIMIT, open(&nats, &namespace)).await;
            Done::Opened(
                epoch,
                Box::new(opened.unwrap_or_else(|_| Err(late(keys::presence_bucket(&namespace))))),
            )
        });
    }

    /// Starts work that is of no use on another connection.
    fn seeker(&mut self, work: impl Future<Output = Done> + Send + 'static) -> AbortHandle {
        self.seekers.retain(|seeker| !seeker.is_finished());
        let seeker = self.work.spawn(work);
        self.seekers.push(seeker.clone());
        seeker
    }

    /// Cancels the work that was started: it is of no use any more. Work that waits for an answer
    /// from a lost connection would delay the requests on the next one.
    fn forget(&mut self) {
        self.epoch += 1;
        self.seekers.drain(..).for_each(|seeker| seeker.abort());
        self.under_way.fetching = false;
        self.under_way.judges = None;
        (self.under_way.watched, self.under_way.apart) = (0, None);
    }

    /// Closes the watches, because the connection is down.
    pub(super) fn close(&mut self) {
        self.forget();
        self.open_watches = OpenWatches::default();
    }

    /// Closes the watches for longer than a moment: no lease is put until they are open again.
    pub(super) fn close_for_long(&mut self) {
        self.close();
        self.presence = None;
    }

    /// Opens all watches again, because one failed. Leases are put meanwhile.
    pub(super) fn reopen(&mut self, error: &StoreError) {
        if !self.is_up() {
            return self.close();
        }
        tracing::debug!("looks anew: {error}");
        self.open_watches = OpenWatches::default();
        self.open(REOPEN_AFTER);
    }

    /// Takes the opened watches. Returns the existing verdict records; `None` if the watches are of
    /// no use.
    pub(super) fn opened(
        &mut self,
        epoch: u64,
        opened: Result<Open, StoreError>,
    ) -> Result<Option<Vec<KeyChange>>, StoreError> {
        if epoch != self.epoch {
            return Ok(None);
        }
        let Open { presence, leases, desired, verdicts } = opened?;
        (self.presence, self.open_watches.leases) = (Some(presence), Some(leases));
        match desired {
            Some((desired, head)) => {
                (self.desired, self.open_watches.head) = (Some(desired), Some(head));
            }
            None => self.seek(),
        }
        let (known, watching) =
            verdicts.map(|verdicts| (verdicts.known, verdicts.watching)).unzip();
        self.open_watches.verdicts = watching;
        Ok(Some(known.unwrap_or_default()))
    }

    /// Waits for the first deploy: a body need not have the permission to make the bucket.
    fn seek(&mut self) {
        let nats = self.nats.clone();
        let namespace = self.namespace.clone();
        let epoch = self.epoch;
        self.seeker(async move {
            loop {
                sleep(SEEK_EVERY).await;
                if let Ok(Ok(Some(born))) = timeout(WORK_LIMIT, desired(&nats, &namespace)).await {
                    return Done::Born(epoch, Box::new(born));
                }
            }
        });
    }

    /// Takes the bucket and the watch of the first deploy.
    pub(super) fn born(&mut self, epoch: u64, born: (Bucket, KeyWatch)) {
        if epoch == self.epoch {
            (self.desired, self.open_watches.head) = (Some(born.0), Some(born.1));
        }
    }

    /// Searches for the bucket of verdict records, because a canary is deployed.
    pub(super) fn seek_verdicts(&mut self) {
        let sought = self.under_way.judges.as_ref().is_some_and(|seeker| !seeker.is_finished());
        if self.open_watches.verdicts.is_some() || sought || !self.is_up() {
            return;
        }
        let nats = self.nats.clone();
        let namespace = self.namespace.clone();
        let epoch = self.epoch;
        let seeker = self.seeker(async move {
            loop {
                // Its deployer made it, unless somebody deleted it.
                let made = async {
                    let bucket = nats.bucket(&verdict_settings(&namespace)).await?;
                    watched(&bucket).await
                };
                match timeout(WORK_LIMIT, made).await {
                    Ok(Ok(verdicts)) => return Done::Judges(epoch, Box::new(verdicts)),
                    Ok(Err(error)) => {
                        tracing::warn!("the verdicts about canaries cannot be watched: {error}");
                    }
                    Err(_) => {
                        tracing::warn!("the verdicts about canaries cannot be watched in time");
                    }
                }
                sleep(WORK_LIMIT).await;
            }
        });
        self.under_way.judges = Some(seeker);
    }

    /// Takes the watch of verdict records. Returns the existing ones; `None` if the watch is of no
    /// use.
    pub(super) fn judges(&mut self, epoch: u64, verdicts: Verdicts) -> Option<Vec<KeyChange>> {
        (epoch == self.epoch).then(|| {
            self.open_watches.verdicts = Some(verdicts.watching);
            verdicts.known
        })
    }

    /// Writes the verdict record about a canary, unless another body has written one.
    pub(super) fn rule(&mut self, target: Target, revision: Revision, record: VerdictRecord) {
        if !self.under_way.recording.insert((target.clone(), revision)) {
            return;
        }
        let nats = self.nats.clone();
        let settings = verdict_settings(&self.namespace);
        self.work.spawn(async move {
            let ruled =
                timeout(WORK_LIMIT, rule(&nats, &settings, &target, revision, record)).await;
            let ruled = ruled.unwrap_or_else(|_| Err(late(settings.name)));
            if ruled.is_err() {
                sleep(REOPEN_AFTER).await;
            }
            Done::Ruled(target, revision, ruled)
        });
    }

    /// Allows the verdict record to be written again, whatever the result was.
    pub(super) fn ruled(&mut self, target: &Target, revision: Revision) {
        self.under_way.recording.remove(&(target.clone(), revision));
    }

    /// Checks whether a message was lost.
    pub(super) fn look(&mut self, deaf: bool) {
        if !self.is_up() {
            return;
        }
        if deaf {
            return self.reopen(&late(keys::presence_bucket(&self.namespace)));
        }
        if let (Some(desired), true) = (self.desired.clone(), self.open_watches.head.is_some()) {
            self.seeker(async move {
                let got = timeout(WORK_LIMIT, desired.get(keys::HEAD)).await;
                let got = got.unwrap_or_else(|_| Err(late(desired.name().to_owned())));
                Done::Head(got.map(|entry| entry.map(|entry| (entry.value, entry.revision))))
            });
        }
    }

    /// Compares the head's revision that a check found (0 if there is no head) with the one that
    /// the watch reported. If they differ twice in a row, the watch gets no events, or the bucket
    /// was deleted and made again: all watches are opened again. One difference may come from a
    /// replica that is behind, or from a message that has not arrived yet.
    pub(super) fn compare(&mut self, found: u64) {
        let watched = self.under_way.watched;
        let apart = (found != watched).then_some((found, watched));
        if apart.is_some() && self.under_way.apart == apart {
            let bucket = keys::desired_bucket(&self.namespace);
            let reason = "its watch reports nothing".to_owned();
            return self.reopen(&StoreError::Unavailable { bucket, reason });
        }
        self.under_way.apart = apart;
    }

    /// Fetches the objects that the reconciler misses, some at a time. Objects that do not come are
    /// requested again later. Without a connection nothing is fetched.
    pub(super) fn fetch(&mut self, missing: Vec<Key>) {
        if !self.is_up() {
            return;
        }
        let Some(desired) = self.desired.clone().filter(|_| !missing.is_empty()) else { return };
        self.under_way.fetching = true;
        let fetched = self.fetched.0.clone();
        let epoch = self.epoch;
        self.seeker(async move {
            let wanted = missing.into_iter().map(|key| get(desired.clone(), key));
            let mut all = stream::iter(wanted).buffer_unordered(REQUESTS_MAX);
            let mut whole = true;
            while let Some(got) = all.next().await {
                match got {
                    // Nobody listens any more: the body ends.
                    Some(got) => _ = fetched.send(got).await,
                    None => whole = false,
                }
            }
            if !whole {
                // A cluster's replica may be behind by a moment.
                sleep(REOPEN_AFTER).await;
            }
            Done::Fetched(epoch)
        });
    }

    /// Notes that a fetch has ended: objects that are still missing may be requested again.
    pub(super) fn has_fetched(&mut self, epoch: u64) {
        if epoch == self.epoch {
            self.under_way.fetching = false;
        }
    }

    /// True if a lease can be put now.
    pub(super) fn can_put(&self) -> bool {
        !self.under_way.putting && self.presence.is_some() && self.is_up()
    }

    /// Puts the body's lease.
    pub(super) fn put(&mut self, lease: Vec<u8>) {
        let Some(bucket) = self.presence.clone() else { return };
        let key = keys::presence(&self.body);
        self.under_way.putting = true;
        self.work.spawn(async move {
            let put = timeout(PUT_LIMIT, bucket.put(&key, lease.into())).await;
            Done::Put(put.unwrap_or_else(|_| Err(late(bucket.name().to_owned()))).map(drop))
        });
    }

    /// Removes the lease, so that the other bodies need not wait for its end.
    pub(super) async fn leave(&mut self) {
        self.work.shutdown().await;
        if let Some(bucket) = self.presence.take() {
            let key = keys::presence(&self.body);
            let removed = timeout(LEAVE_LIMIT, bucket.remove(&key)).await;
            if !matches!(removed, Ok(Ok(()))) {
                tracing::debug!("the lease was not taken back: it ends by itself");
            }
        }
    }
}

async fn open(nats: &Nats, namespace: &Namespace) -> Result<Open, StoreError> {
    // Verdicts before generations: a body that returns must not retry what was rolled back.
    let verdicts = match nats.existing_bucket(&keys::verdict_bucket(namespace)).await {
        Err(StoreError::NoBucket(_)) => None,
        bucket => Some(watched(&bucket?).await?),
    };
    let presence = nats.bucket(&presence_settings(namespace)).await?;
    let leases = presence.watch(">").await?;
    Ok(Open { presence, leases, desired: desired(nats, namespace).await?, verdicts })
}

async fn desired(
    nats: &Nats,
    namespace: &Namespace,
) -> Result<Option<(Bucket, KeyWatch)>, StoreError> {
    match nats.existing_bucket(&keys::desired_bucket(namespace)).await {
        Err(StoreError::NoBucket(_)) => Ok(None),
        bucket => {
            let bucket = bucket?;
            let head = bucket.watch(keys::HEAD).await?;
            Ok(Some((bucket, head)))
        }
    }
}

async fn watched(bucket: &Bucket) -> Result<Verdicts, StoreError> {
    let mut watching = bucket.watch(">").await?;
    let mut known = Vec::new();
    loop {
        match watching.next().await? {
            WatchEvent::Change(change) => known.push(change),
            WatchEvent::Current => return Ok(Verdicts { known, watching }),
        }
    }
}

async fn rule(
    nats: &Nats,
    settings: &BucketSettings,
    target: &Target,
    revision: Revision,
    record: VerdictRecord,
) -> Result<(VerdictRecord, bool), StoreError> {
    let bucket = nats.bucket(settings).await?;
    let key = keys::verdict(target, revision);
    match bucket.create(&key, record.encode().into()).await {
        Ok(_) => Ok((record, true)),
        Err(StoreError::Conflict { .. }) => {
            let theirs = bucket
                .all(&key)
                .await?
                .pop()
                .and_then(|(_, entry)| VerdictRecord::decode(&entry.value));
            let reason = || format!("what lies under `{key}` is no verdict: remove it");
            theirs.map(|record| (record, false)).ok_or_else(|| StoreError::Unavailable {
                bucket: bucket.name().to_owned(),
                reason: reason(),
            })
        }
        Err(error) => Err(error),
    }
}

/// Reads one object under its hash; `None` if it is not stored or has another hash.
async fn get(desired: Bucket, key: Key) -> Option<(Key, Bytes)> {
    let (name, hash) = match key {
        Key::Tree(hash) => (keys::tree(&hash), hash),
        Key::Spec(hash) => (keys::spec(&hash), hash),
        Key::Head | Key::History(_) => return None,
    };
    let got = timeout(WORK_LIMIT, desired.get(&name)).await.ok()?.ok()??;
    let right = ContentHash::of(&got.value) == hash;
    if !right {
        tracing::warn!("what lies under `{name}` has another hash: it is not taken; deploy again");
    }
    right.then_some((key, got.value))
}

pub(super) fn late(bucket: String) -> StoreError {
    StoreError::Unavailable { bucket, reason: "no answer in time".to_owned() }
}

#[cfg(test)]
#[path = "watches_tests.rs"]
mod tests;
