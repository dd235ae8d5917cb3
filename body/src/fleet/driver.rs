//! Driver of a body in a fleet: reports events to the reconciler, and carries out its decisions.
//!
//! There is one task, and nothing in it blocks. Slow work runs beside it with a deadline, and
//! reports its result.
//!
//! - `watches`: the buckets. `observe`: the events that come from there. `act`: the reconciler's
//!   decisions.
//! - `instances`: the instances. `clock`: the times at which work is due.

mod act;
mod clock;
mod instances;
mod observe;
mod watches;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bus_nats::Nats;
use cbs::{BodyId, Namespace, Target};
use fleet::{Body, ContentHash, Facts, Paused, Timing};
use futures::{Stream, StreamExt};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use self::{
    clock::Clock,
    instances::InstanceTasks,
    watches::{Done, Watches, seen},
};
use super::{
    ASK_FLEET, Following, StoredPolicy,
    cache::Cache,
    instance::{Executor, InstanceCommand},
};
use crate::{
    app::{Ended, Instances},
    exit::Failure,
};

/// Limit of a connection loss that does not count. A client that could not read a message has
/// another connection within milliseconds, and any caller of a cell can cause that again and again.
/// It is much less than the time of a lease, so no body's lease ends unobserved meanwhile.
const BRIEF: Duration = Duration::from_millis(500);
/// Time that a body tries to join before it logs that it waits.
const JOIN_QUIET: Duration = Duration::from_secs(5);
/// Limit of the time that an ending body waits for others to take over.
const HANDOVER_MAX: Duration = Duration::from_secs(15);

/// Description of the body that joins.
pub(crate) struct Joining {
    pub(crate) body: BodyId,
    pub(crate) namespace: Namespace,
    pub(crate) labels: BTreeMap<String, String>,
    /// The cells that are linked in.
    pub(crate) natives: BTreeSet<Target>,
    /// Time that running calls have to finish when the body is asked to stop.
    pub(crate) drain: Duration,
}

/// A body in a fleet.
pub(crate) struct Driver {
    reconciler: Body,
    executor: Arc<Executor>,
    watches: Watches,
    tasks: InstanceTasks,
    clock: Clock,
    calls: Calls,
    reported: Reported,
    drain: Duration,
    /// Time when the connection was lost, kept until the loss counts. A connection that is back
    /// within a moment was never lost.
    lost: Option<Instant>,
    /// Set while the connection was away for a moment only: watches that are opened again start
    /// nothing new.
    is_brief: bool,
}

/// Routes of this body's calls.
#[derive(Default)]
struct Calls {
    /// Call policies of cells, by the hash of the spec that has the policy.
    policies: BTreeMap<ContentHash, StoredPolicy>,
    /// The head that calls follow.
    known: Option<ContentHash>,
}

/// Status of this body as it was last reported to others.
struct Reported {
    paused: Option<Paused>,
    /// True if a lease was put.
    lease: bool,
    following: watch::Sender<Following>,
}

impl Driver {
    /// Makes a body that knows nothing of its fleet yet.
    ///
    /// # Errors
    /// There is no folder for the code that the body will fetch.
    pub(crate) fn new(joining: Joining, instances: Instances, nats: Nats) -> Result<Self, Failure> {
        let Joining { body, namespace, labels, natives, drain } = joining;
        let cache = Cache::new(&body).map_err(|error| {
            Failure::not_started(format_args!("no folder for fetched code: {error}"))
        })?;
        let (incarnation, _) = cbs::Uuid::new_v4().as_u64_pair();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let facts = Facts {
            body: body.clone(),
            incarnation,
            program: version.clone(),
            platform: super::platform(),
            labels,
            runtimes: instances
                .runtimes()
                .map(|runtime| (runtime.to_owned(), version.clone()))
                .collect(),
        };
        let link = nats.link();
        nats.on_admin_request(ASK_FLEET, |_| std::future::ready(Ok(true.into())));
        Ok(Self {
            reconciler: Body::new(facts, natives, Timing::default()),
            executor: Arc::new(Executor::new(nats.clone(), namespace.clone(), instances, cache)),
            watches: Watches::new(nats, namespace, body, link),
            tasks: InstanceTasks::new(),
            clock: Clock::new(),
            calls: Calls::default(),
            reported: Reported {
                paused: None,
                lease: false,
                following: watch::channel(Following::default()).0,
            },
            drain,
            lost: None,
            is_brief: false,
        })
    }

    /// Returns a receiver of the body's status in its fleet, which also gets every change.
    pub(crate) fn following(&self) -> watch::Receiver<Following> {
        self.reported.following.subscribe()
    }

    /// Joins the fleet, and waits until it can receive this body's lease. Cancel-safe.
    pub(crate) async fn join(&mut self) {
        self.watches.open(Duration::ZERO);
        let patience = Instant::now() + JOIN_QUIET;
        let mut warned = false;
        while !self.reported.lease {
            if warned {
                self.next().await;
            } else if timeout_at(patience, self.next()).await.is_err() {
                warned = true;
                tracing::warn!(
                    "not in the fleet yet: its buckets cannot be read or this body's lease is not observed; it retries. \
                     Under restricted permissions one `cbs deploy` comes first; CBS_LOG=debug shows more"
                );
                continue;
            }
            self.turn();
        }
    }

    /// Runs the entries that the fleet wants until `stops` yields for the first time. Then hands
    /// over its entries and ends, at once if `stops` yields again.
    pub(crate) async fn run(
        mut self,
        mut stops: impl Stream<Item = &'static str> + Unpin,
    ) -> Ended {
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
        self.watches.leave().await;
        self.executor.instances.close().await;
        ended
    }

    /// Waits for the next event, and reports it to the reconciler. Cancel-safe.
    async fn next(&mut self) {
        let Watches { link, open_watches, fetched, work, .. } = &mut self.watches;
        let InstanceTasks { tasks, events, .. } = &mut self.tasks;
        tokio::select! {
            _ = link.changed() => self.link(),
            word = seen(&mut open_watches.head) => self.head(word),
            word = seen(&mut open_watches.leases) => self.lease(word),
            word = seen(&mut open_watches.verdicts) => self.verdict(word),
            Some((key, bytes)) = fetched.1.recv() => self.arrived(key, &bytes),
            Some(event) = events.1.recv() => self.event(event),
            Some(done) = work.join_next() => self.done(done.unwrap_or(Done::Nothing)),
            Some(ended) = tasks.ended() => if let Some(event) = ended { self.event(event) },
            () = sleep_until(self.clock.pass_at()) => {}
            () = sleep_until(self.clock.beat_at()) => {}
            () = sleep_until(self.clock.look_at()) => self.look(),
            () = sleep_until(self.lost.unwrap_or_else(Instant::now) + BRIEF), if self.lost.is_some() => self.is_lost(),
        }
    }

    /// Handles any event: makes a pass if one is due, carries out its actions, and reports to
    /// others.
    fn turn(&mut self) {
        if self.clock.slept() && self.watches.is_up() {
            tracing::warn!(
                "this body was asleep for longer than its lease lasts: it looks anew before it acts"
            );
            self.reconciler.disconnected();
            self.watches.close();
            self.watches.open(Duration::ZERO);
        }
        if Instant::now() >= self.clock.pass_at() {
            let pass = self.reconciler.pass(self.clock.now());
            self.clock.passed(pass.wake);
            self.carry_out(pass);
            self.follow();
            self.report();
        }
        if !self.watches.under_way.fetching {
            let missing = self.reconciler.missing();
            self.watches.fetch(missing);
        }
        if self.clock.beats(self.reconciler.has_news()) {
            if self.tasks.sample(&mut self.reconciler) {
                self.clock.happened();
            }
            if self.watches.can_put() {
                self.watches.put(self.reconciler.presence().encode());
            }
        }
    }

    /// Reports the body's status to health and metrics.
    fn report(&self) {
        let pass = self.reconciler.found();
        let paused = pass.paused.map(|paused| match paused {
            Paused::NotConnected => "not connected".to_owned(),
            Paused::LeaseNotObserved => "its own lease is not observed".to_owned(),
            Paused::DuplicateId => "another body has the same id".to_owned(),
        });
        let converged = self.reconciler.is_converged();
        let trouble = || pass.troubles.first().map(|trouble| trouble.reason.clone());
        let stuck = || self.reconciler.stuck().map(str::to_owned);
        let news = Following {
            following: paused.is_none(),
            converged,
            head_number: self.reconciler.desired().map(|desired| desired.head.number),
            troubles: pass.troubles.len(),
            reason: paused.or_else(stuck).or_else(|| if converged { None } else { trouble() }),
        };
        self.reported.following.send_if_modified(|following| {
            let modified = *following != news;
            *following = news;
            modified
        });
    }

    /// Lets other bodies take over its entries, then ends the rest.
    async fn leave(&mut self, until: Instant) -> Ended {
        self.reconciler.drain();
        self.executor.instances.draining();
        self.clock.happened();
        let handed_over = Instant::now() + HANDOVER_MAX.min(self.drain / 2);
        loop {
            self.turn();
            let holds =
                self.reconciler.own().held().values().any(|held| !held.instances().is_empty());
            let alone =
                matches!(self.reported.paused, Some(Paused::NotConnected | Paused::DuplicateId));
            if !holds || alone || timeout_at(handed_over, self.next()).await.is_err() {
                break;
            }
        }
        self.tasks.stop_all(InstanceCommand::Stop(until.saturating_duration_since(Instant::now())));
        if timeout_at(until, self.tasks.gone()).await.is_ok() {
            Ended::Drained
        } else {
            Ended::TimeUp
        }
    }
}

#[cfg(test)]
#[path = "driver/driver_tests.rs"]
mod tests;
