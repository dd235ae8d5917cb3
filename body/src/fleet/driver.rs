//! The hands of a body in a fleet: tells the mind what happens, and does what it says.
//!
//! One task, and nothing in it waits: what takes time runs beside it, with a deadline, and tells
//! how it ended.

mod eyes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bus_nats::{LinkState, Nats, store::Seen};
use cbs::{BodyId, Namespace, Target};
use fleet::{
    Action, BEAT_MS, Body, ContentHash, Facts, Manifest, Moment, Pass, Standstill, Timing,
    keys::{self, Key},
};
use futures::{Stream, StreamExt};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

use self::eyes::{Done, Eyes, seen};
use super::{
    Letter, Policy,
    cache::Cache,
    life::{Event, Hands, Order, What, live},
};
use crate::{
    app::{Ended, Instances, Manners},
    exit::Failure,
};

/// Between two passes: what happens at once is met at once, and thousands of words make few passes.
const PASS_EVERY: Duration = Duration::from_millis(5);
/// Between two leases that tell news.
const NEWS_EVERY: Duration = Duration::from_millis(100);
/// How often a look is taken without any reason: a word may have been lost.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long a body tries to join before it says so.
const JOIN_QUIET: Duration = Duration::from_secs(5);
/// How long a body that ends waits for others to take over, at the most.
const HANDOVER_MAX: Duration = Duration::from_secs(15);
/// How many words of instances may wait.
const EVENTS_MAX: usize = 1_024;

/// Who joins.
pub(crate) struct Joining {
    pub(crate) body: BodyId,
    pub(crate) namespace: Namespace,
    pub(crate) labels: BTreeMap<String, String>,
    /// The cells that are linked in.
    pub(crate) natives: BTreeSet<Target>,
    /// How long to finish what runs when asked to stop.
    pub(crate) drain: Duration,
}

/// A body in a fleet.
pub(crate) struct Driver {
    mind: Body,
    hands: Arc<Hands>,
    eyes: Eyes,
    began: Instant,
    drain: Duration,
    /// Instances that live, and how each is told to stop.
    lives: (JoinSet<()>, BTreeMap<u64, oneshot::Sender<Duration>>),
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    clock: Clock,
    /// How callers treat cells, by the spec that says so.
    policies: BTreeMap<ContentHash, Policy>,
    /// The head that calls follow.
    known: Option<(ContentHash, Arc<Manifest>)>,
    standstill: Option<Standstill>,
    /// Whether a lease was put.
    heard: bool,
}

/// When what is due.
struct Clock {
    /// Something happened, or time alone changes something.
    pass: Instant,
    passed: Instant,
    beat: Instant,
    look: Instant,
}

impl Driver {
    /// A body that knows nothing yet.
    ///
    /// # Errors
    /// No folder for the code that it will fetch.
    pub(crate) fn new(joining: Joining, instances: Instances, nats: Nats) -> Result<Self, Failure> {
        let Joining { body, namespace, labels, natives, drain } = joining;
        let cache = Cache::new(&body)
            .map_err(|error| Failure::not_started(format_args!("there is no place for fetched code: {error}")))?;
        let (incarnation, _) = cbs::Uuid::new_v4().as_u64_pair();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let facts = Facts {
            body: body.clone(),
            incarnation,
            program: version.clone(),
            platform: super::platform(),
            labels,
            runtimes: instances.runtimes().map(|runtime| (runtime.to_owned(), version.clone())).collect(),
        };
        let now = Instant::now();
        let link = nats.link();
        let hands = Arc::new(Hands { nats: nats.clone(), namespace: namespace.clone(), instances, cache });
        Ok(Self {
            mind: Body::new(facts, natives, Timing::default()),
            hands,
            eyes: Eyes::new(nats, namespace, body, link),
            began: now,
            drain,
            lives: Default::default(),
            events: mpsc::channel(EVENTS_MAX),
            clock: Clock { pass: now, passed: now, beat: now, look: now + LOOK_EVERY },
            policies: BTreeMap::new(),
            known: None,
            standstill: None,
            heard: false,
        })
    }

    /// Begins, and waits until the fleet can hear this body. Cancel-safe.
    pub(crate) async fn join(&mut self) {
        self.eyes.open(Duration::ZERO);
        let patience = Instant::now() + JOIN_QUIET;
        let mut told = false;
        while !self.heard {
            if told {
                self.next().await;
            } else if timeout_at(patience, self.next()).await.is_err() {
                told = true;
                tracing::warn!(
                    "not in the fleet yet: its buckets cannot be read or this body's lease is not heard; it tries on. \
                     Under restricted permissions one `cbs deploy` comes first; CBS_LOG=debug tells more"
                );
                continue;
            }
            self.turn();
        }
    }

    /// Runs what the fleet wants until `stops` says stop for the first time; then hands over
    /// what it has and ends, at once when `stops` says stop again.
    pub(crate) async fn run(mut self, mut stops: impl Stream<Item = &'static str> + Unpin) -> Ended {
        let why = loop {
            tokio::select! {
                why = stops.next() => break why,
                () = self.next() => self.turn(),
            }
        };
        let until = Instant::now() + self.drain;
        if let Some(why) = why {
            tracing::info!(
                "{why}: handing over what runs, for {} s at the most; again stops at once",
                self.drain.as_secs()
            );
        }
        let ended = tokio::select! {
            ended = self.leave(until) => ended,
            Some(_) = stops.next() => Ended::AtOnce,
        };
        self.eyes.leave().await;
        self.hands.instances.close().await;
        ended
    }

    fn now(&self) -> Moment {
        Moment(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Waits until something happens, and tells the mind. Cancel-safe.
    async fn next(&mut self) {
        let passes = self.clock.pass.max(self.clock.passed + PASS_EVERY);
        tokio::select! {
            _ = self.eyes.link.changed() => self.link(),
            word = seen(&mut self.eyes.head) => self.head(word),
            word = seen(&mut self.eyes.leases) => self.lease(word),
            Some(event) = self.events.1.recv() => self.event(event),
            Some(done) = self.eyes.work.join_next() => self.done(done.unwrap_or(Done::Nothing)),
            Some(_) = self.lives.0.join_next() => {}
            () = sleep_until(passes) => {}
            () = sleep_until(self.clock.beat) => {}
            () = sleep_until(self.clock.look) => self.look(),
        }
    }

    fn happened(&mut self) {
        self.clock.pass = Instant::now();
    }

    fn link(&mut self) {
        let state = *self.eyes.link.borrow_and_update();
        match state {
            LinkState::Up => self.eyes.open(Duration::ZERO),
            LinkState::Down => {
                self.eyes.close();
                self.mind.disconnected();
            }
        }
        self.happened();
    }

    fn head(&mut self, word: Result<Seen, bus_nats::store::StoreError>) {
        match word {
            Ok(Seen::Change(change)) if change.key == keys::HEAD => self.told(change.value.as_deref(), change.revision),
            Ok(_) => {}
            Err(error) => self.eyes.reopen(&error),
        }
    }

    fn told(&mut self, value: Option<&[u8]>, revision: u64) {
        let now = self.now();
        if let Err(error) = self.mind.head(value, revision, now) {
            tracing::warn!("{error}; the body goes on with what it has");
        }
        self.happened();
    }

    fn lease(&mut self, word: Result<Seen, bus_nats::store::StoreError>) {
        let now = self.now();
        match word {
            Ok(Seen::Change(change)) => {
                match &change.value {
                    Some(bytes) => {
                        if let Err(error) = self.mind.lease(bytes, change.revision, now) {
                            tracing::debug!(body = change.key, "{error}");
                        }
                    }
                    None => {
                        if let Ok(body) = BodyId::new(&change.key) {
                            self.mind.lease_gone(&body, change.revision);
                        }
                    }
                }
                self.happened();
            }
            Ok(Seen::Current) => {}
            Err(error) => self.eyes.reopen(&error),
        }
    }

    fn event(&mut self, event: Event) {
        let Event { target, instance, version, what } = event;
        let now = self.now();
        if !matches!(what, What::Ready) {
            self.lives.1.remove(&instance);
        }
        match what {
            What::Ready => {
                tracing::info!(%target, revision = %version.revision, "ready");
                self.mind.ready(&target, instance, now);
            }
            What::Failed(reason) => {
                tracing::warn!(%target, revision = %version.revision, "failed: {reason}");
                self.mind.failed(&target, instance, &reason, now);
            }
            What::Refused(reason) => {
                tracing::warn!(%target, revision = %version.revision, "cannot run here: {reason}");
                self.mind.failed(&target, instance, &reason, now);
                self.mind.refuse(&target, version.revision, &reason);
            }
            What::Stopped => self.mind.stopped(&target, instance),
        }
        self.happened();
    }

    fn done(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Opened(epoch, opened) => match self.eyes.opened(epoch, *opened) {
                Ok(true) => self.mind.connected(now),
                Ok(false) => {}
                Err(error) => self.eyes.reopen(&error),
            },
            Done::Born(epoch, born) => self.eyes.born(epoch, *born),
            Done::Head(Ok(Some((value, revision)))) => self.told(Some(&value), revision),
            Done::Head(Err(error)) => self.eyes.reopen(&error),
            Done::Fetched(found) => {
                self.eyes.fetching = false;
                for (key, bytes) in found {
                    self.arrived(key, &bytes, now);
                }
            }
            Done::Put(put) => {
                self.eyes.putting = false;
                match put {
                    Ok(()) => self.heard = true,
                    Err(error) => tracing::debug!("the lease was not renewed: {error}"),
                }
            }
            Done::Head(Ok(None)) | Done::Nothing => {}
        }
        self.happened();
    }

    fn arrived(&mut self, key: Key, bytes: &[u8], now: Moment) {
        let taken = match key {
            Key::Tree(hash) => self.mind.tree(hash, bytes, now),
            Key::Spec(hash) => {
                // One that cannot be read is refused where it is to be started.
                if let Ok(Letter { policy: Some(policy), .. }) = Letter::read(bytes) {
                    self.policies.insert(hash, policy);
                }
                self.mind.spec(hash, bytes, now)
            }
            Key::Head | Key::History(_) => Ok(()),
        };
        if let Err(error) = taken {
            tracing::warn!("{error}");
        }
    }

    /// A word may have been lost: looks at the head, and whether this body is heard.
    fn look(&mut self) {
        self.clock.look = Instant::now() + LOOK_EVERY;
        let deaf = self.mind.found().standstill == Some(Standstill::Deaf);
        self.eyes.look(deaf);
    }

    /// After anything happened: a pass where one is due, its actions, and what others are told.
    fn turn(&mut self) {
        let now = Instant::now();
        if now >= self.clock.pass.max(self.clock.passed + PASS_EVERY) {
            let moment = self.now();
            let pass = self.mind.pass(moment);
            self.clock.passed = now;
            let wake = pass.wake.map(|wake| self.began + Duration::from_millis(wake.0));
            self.clock.pass = wake.unwrap_or(now + LOOK_EVERY).max(now + PASS_EVERY);
            self.carry_out(pass);
            self.follow();
        }
        if !self.eyes.fetching {
            let missing = self.mind.missing();
            self.eyes.fetch(missing);
        }
        let due = now >= self.clock.beat;
        if due || self.mind.has_news() {
            let soonest = self.clock.beat + NEWS_EVERY - Duration::from_millis(BEAT_MS);
            if due || now >= soonest {
                if self.eyes.can_put() {
                    self.eyes.put(self.mind.presence().encode());
                }
                self.clock.beat = now + Duration::from_millis(BEAT_MS);
            } else {
                self.clock.pass = self.clock.pass.min(soonest);
            }
        }
    }

    fn carry_out(&mut self, pass: Pass) {
        if pass.standstill != self.standstill {
            match pass.standstill {
                Some(Standstill::Disconnected) => {
                    tracing::warn!("not connected: what runs goes on, nothing is changed");
                }
                Some(Standstill::Deaf) => tracing::debug!("its own lease is not heard: nothing is changed"),
                Some(Standstill::Twin) => tracing::error!("another body has the same id: nothing is changed"),
                None => tracing::info!("follows the fleet"),
            }
            self.standstill = pass.standstill;
        }
        for action in pass.actions {
            match action {
                Action::Start { target, instance, version, canary, limit } => {
                    self.begin(target, instance, version, canary, Duration::from_millis(limit));
                }
                Action::Stop { target, instance, why, limit } => {
                    tracing::info!(%target, "stops: {why}");
                    match self.lives.1.remove(&instance) {
                        // Who has ended by itself has said so, or will.
                        Some(stop) => _ = stop.send(Duration::from_millis(limit)),
                        None => self.mind.stopped(&target, instance),
                    }
                }
                // No deploy of this version asks for a canary.
                Action::Share { .. } | Action::Rule { .. } => {}
            }
        }
    }

    fn begin(&mut self, target: Target, instance: u64, version: fleet::Version, canary: bool, limit: Duration) {
        let now = self.now();
        let Some(desired) = self.eyes.desired.clone() else {
            return self.mind.failed(&target, instance, "there is no connection to its spec", now);
        };
        if canary {
            self.mind.failed(&target, instance, "a canary", now);
            return self.mind.refuse(&target, version.revision, "this program cannot give a canary its share");
        }
        tracing::info!(%target, revision = %version.revision, "starts");
        let (stop, stopped) = oneshot::channel();
        let order = Order { target, instance, version, limit, desired };
        self.lives.0.spawn(live(self.hands.clone(), order, stopped, self.events.0.clone()));
        self.lives.1.insert(instance, stop);
    }

    /// Calls follow the head that was applied.
    fn follow(&mut self) {
        let known = self.known.as_ref().map(|(hash, _)| *hash);
        let Some(desired) = self.mind.desired().filter(|desired| known != Some(desired.hash)) else { return };
        // The mind asks for no spec twice that this head or the one before it names.
        let mut named = desired.manifest.objects().0;
        named.extend(self.known.iter().flat_map(|(_, manifest)| manifest.objects().0));
        self.policies.retain(|spec, _| named.contains(spec));
        self.known = Some((desired.hash, desired.manifest.clone()));
        let entries = desired.manifest.entries();
        let known = entries.iter().map(|(target, _)| target.clone()).collect();
        let cells = entries.iter().filter(|(target, _)| matches!(target, Target::Cell(_)));
        let manners = cells.map(|(target, item)| {
            let policy = item.known().and_then(|entry| self.policies.get(&entry.version.spec));
            (target.clone(), policy.map_or_else(Manners::default, Policy::manners))
        });
        self.hands.instances.know(known, manners.collect());
        tracing::info!(head = desired.head.number, "follows");
    }

    /// Lets others take over what it has, then ends what is left.
    async fn leave(&mut self, until: Instant) -> Ended {
        self.mind.drain();
        self.hands.instances.draining();
        self.happened();
        let handed_over = Instant::now() + HANDOVER_MAX.min(self.drain / 2);
        loop {
            self.turn();
            let holds = self.mind.own().held().values().any(|held| !held.instances().is_empty());
            let alone = matches!(self.standstill, Some(Standstill::Disconnected | Standstill::Twin));
            if !holds || alone || timeout_at(handed_over, self.next()).await.is_err() {
                break;
            }
        }
        for (_, stop) in std::mem::take(&mut self.lives.1) {
            let _ = stop.send(until.saturating_duration_since(Instant::now()));
        }
        let gone = async {
            loop {
                tokio::select! {
                    _ = self.events.1.recv() => {}
                    gone = self.lives.0.join_next() => if gone.is_none() { break },
                }
            }
        };
        if timeout_at(until, gone).await.is_ok() { Ended::Drained } else { Ended::TimeUp }
    }
}
