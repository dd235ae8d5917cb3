//! What a body sees of the buckets, and what it writes there: all beside the driver's own task.

use std::time::Duration;

use bus_nats::{
    LinkState, Nats,
    store::{Bucket, Seen, StoreError, Watching},
};
use cbs::{BodyId, Bytes, Namespace};
use fleet::{
    ContentHash,
    keys::{self, Key},
};
use futures::{StreamExt, stream};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::fleet::store::{REQUESTS_MAX, presence_settings};

/// How long one piece of work may take; then it is begun anew.
const WORK_LIMIT: Duration = Duration::from_secs(10);
/// A lease that took so long is not worth waiting for: the next one says more.
const PUT_LIMIT: Duration = Duration::from_secs(2);
/// The wait before eyes that saw nothing are opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// How often a body looks for the first deploy.
const SEEK_EVERY: Duration = Duration::from_secs(1);
/// How long a body that ends waits until its lease is taken back.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// The open watches of one connection.
pub(super) struct Open {
    presence: Bucket,
    leases: Watching,
    /// `None`: nothing was ever deployed.
    desired: Option<(Bucket, Watching)>,
}

/// What work came to.
pub(super) enum Done {
    /// On the connection of this number.
    Opened(u64, Box<Result<Open, StoreError>>),
    /// The first deploy has come; on the connection of this number.
    Born(u64, Box<(Bucket, Watching)>),
    Fetched(Vec<(Key, Bytes)>),
    Put(Result<(), StoreError>),
    Head(Result<Option<(Bytes, u64)>, StoreError>),
    Nothing,
}

pub(super) struct Eyes {
    nats: Nats,
    namespace: Namespace,
    body: BodyId,
    pub(super) link: watch::Receiver<LinkState>,
    pub(super) head: Option<Watching>,
    pub(super) leases: Option<Watching>,
    pub(super) desired: Option<Bucket>,
    presence: Option<Bucket>,
    pub(super) work: JoinSet<Done>,
    /// Which connection: what was begun on a former one is of no use.
    epoch: u64,
    pub(super) fetching: bool,
    pub(super) putting: bool,
}

/// The next word of a watch; never, where there is none. Cancel-safe.
pub(super) async fn seen(watching: &mut Option<Watching>) -> Result<Seen, StoreError> {
    match watching {
        Some(watching) => watching.next().await,
        None => std::future::pending().await,
    }
}

impl Eyes {
    pub(super) fn new(nats: Nats, namespace: Namespace, body: BodyId, link: watch::Receiver<LinkState>) -> Self {
        Self {
            nats,
            namespace,
            body,
            link,
            head: None,
            leases: None,
            desired: None,
            presence: None,
            work: JoinSet::new(),
            epoch: 0,
            fetching: false,
            putting: false,
        }
    }

    /// Begins to look, after a while.
    pub(super) fn open(&mut self, after: Duration) {
        self.epoch += 1;
        let (nats, namespace, epoch) = (self.nats.clone(), self.namespace.clone(), self.epoch);
        self.work.spawn(async move {
            sleep(after).await;
            let opened = timeout(WORK_LIMIT, open(&nats, &namespace)).await;
            Done::Opened(epoch, Box::new(opened.unwrap_or_else(|_| Err(late(keys::presence_bucket(&namespace))))))
        });
    }

    /// The connection is down: nothing is seen any more.
    pub(super) fn close(&mut self) {
        self.epoch += 1;
        (self.head, self.leases, self.presence) = (None, None, None);
    }

    /// Something cannot be seen: all is looked at anew.
    pub(super) fn reopen(&mut self, error: &StoreError) {
        if *self.link.borrow() == LinkState::Down {
            return self.close();
        }
        tracing::debug!("looks anew: {error}");
        self.close();
        self.open(REOPEN_AFTER);
    }

    /// Takes what was opened; whether it is of any use.
    pub(super) fn opened(&mut self, epoch: u64, opened: Result<Open, StoreError>) -> Result<bool, StoreError> {
        if epoch != self.epoch {
            return Ok(false);
        }
        let open = opened?;
        (self.presence, self.leases) = (Some(open.presence), Some(open.leases));
        match open.desired {
            Some((desired, head)) => (self.desired, self.head) = (Some(desired), Some(head)),
            None => self.seek(),
        }
        Ok(true)
    }

    /// Waits for the first deploy: a body need not have the right to make the bucket.
    fn seek(&mut self) {
        let (nats, namespace, epoch) = (self.nats.clone(), self.namespace.clone(), self.epoch);
        let mut link = self.link.clone();
        self.work.spawn(async move {
            loop {
                sleep(SEEK_EVERY).await;
                if *link.borrow_and_update() == LinkState::Down {
                    return Done::Nothing;
                }
                if let Ok(Ok(Some(born))) = timeout(WORK_LIMIT, desired(&nats, &namespace)).await {
                    return Done::Born(epoch, Box::new(born));
                }
            }
        });
    }

    /// The first deploy has come.
    pub(super) fn born(&mut self, epoch: u64, born: (Bucket, Watching)) {
        if epoch == self.epoch {
            (self.desired, self.head) = (Some(born.0), Some(born.1));
        }
    }

    /// Looks whether a word was lost.
    pub(super) fn look(&mut self, deaf: bool) {
        if *self.link.borrow() == LinkState::Down {
            return;
        }
        if deaf {
            return self.reopen(&late(keys::presence_bucket(&self.namespace)));
        }
        if let (Some(desired), true) = (self.desired.clone(), self.head.is_some()) {
            self.work.spawn(async move {
                let got = timeout(WORK_LIMIT, desired.get(keys::HEAD)).await;
                let got = got.unwrap_or_else(|_| Err(late(desired.name().to_owned())));
                Done::Head(got.map(|entry| entry.map(|entry| (entry.value, entry.revision))))
            });
        }
    }

    /// Fetches what the mind misses. What does not come is asked for again later.
    pub(super) fn fetch(&mut self, missing: Vec<Key>) {
        let Some(desired) = self.desired.clone().filter(|_| !missing.is_empty()) else { return };
        self.fetching = true;
        self.work.spawn(async move {
            let all = missing.len();
            let wanted = missing.into_iter().map(|key| {
                let desired = desired.clone();
                async move {
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
            });
            let found: Vec<_> =
                stream::iter(wanted).buffer_unordered(REQUESTS_MAX).filter_map(async |it| it).collect().await;
            if found.len() < all {
                // A cluster's replica may be behind by a moment.
                sleep(REOPEN_AFTER).await;
            }
            Done::Fetched(found)
        });
    }

    /// Whether a lease can be put now.
    pub(super) fn can_put(&self) -> bool {
        !self.putting && self.presence.is_some() && *self.link.borrow() == LinkState::Up
    }

    /// Puts the body's lease.
    pub(super) fn put(&mut self, lease: Vec<u8>) {
        let Some(bucket) = self.presence.clone() else { return };
        let key = keys::presence(&self.body);
        self.putting = true;
        self.work.spawn(async move {
            let put = timeout(PUT_LIMIT, bucket.put(&key, lease.into())).await;
            Done::Put(put.unwrap_or_else(|_| Err(late(bucket.name().to_owned()))).map(drop))
        });
    }

    /// Takes the lease back, so that the others need not wait for its end.
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
    let presence = nats.bucket(&presence_settings(namespace)).await?;
    let leases = presence.watch(">").await?;
    Ok(Open { presence, leases, desired: desired(nats, namespace).await? })
}

async fn desired(nats: &Nats, namespace: &Namespace) -> Result<Option<(Bucket, Watching)>, StoreError> {
    match nats.existing_bucket(&keys::desired_bucket(namespace)).await {
        Err(StoreError::NoBucket(_)) => Ok(None),
        bucket => {
            let bucket = bucket?;
            let head = bucket.watch(keys::HEAD).await?;
            Ok(Some((bucket, head)))
        }
    }
}

fn late(bucket: String) -> StoreError {
    StoreError::Unavailable { bucket, reason: "no answer in time".to_owned() }
}
