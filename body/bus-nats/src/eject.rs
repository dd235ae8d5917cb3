//! Members that hang. A body that stands still (a stopped process, a machine that swaps) keeps its
//! share of a queue group's calls until the server's pings detect it, which takes minutes.
//!
//! A timeout does not say which body had the call. So callers take a sample of the replies and
//! remember which bodies answer for a target. On a timeout they ask each of these bodies for a sign
//! of life on `cbs.<ns>.body.<id>.ctl`. A body answers that at once, whatever its cells do. A body
//! that misses three in a row is ejected: calls to its targets go to the other bodies by their own
//! subjects, in turn, until it answers again or the server reports that it is gone. The server
//! reports so only if nobody else subscribes to the subject, as a subscriber to `>` does. Therefore
//! a body also counts as gone after [`SILENT_MAX`].

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use cbs::{BodyId, CellName, Namespace, Subject, Target};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection::{Connection, is_no_responders},
    link::LinkCounters,
};

/// Number of probes in a row that a body misses before it is ejected.
const MISSES: u32 = 3;
/// Limit of the time for the answer to a probe.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);
/// Interval between probes of an ejected body. A body that has answered is not asked again for this
/// time.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Time of probing after which an ejected body counts as gone. By then the server has closed the
/// connection of a client that stands still, even with its default pings (three of 120 s).
const SILENT_MAX: Duration = Duration::from_mins(10);
/// Number of first replies that are all sampled; of later replies, one in `SAMPLES_EVERY` is.
const SAMPLES_FIRST: u64 = 64;
const SAMPLES_EVERY: u64 = 32;
/// Limits of the cells that are remembered, and of the bodies of each.
const CELLS_MAX: usize = 4_096;
const BODIES_MAX: usize = 64;

/// True if the reply to the call of this number is part of the sample.
pub(crate) fn is_sample(number: u64) -> bool {
    number < SAMPLES_FIRST || number.is_multiple_of(SAMPLES_EVERY)
}

/// Bodies that answer for each cell, and bodies that do not answer at all.
pub(crate) struct Members {
    connection: Arc<Connection>,
    namespace: Namespace,
    counters: Arc<LinkCounters>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Number of ejected bodies. While it is 0, a call reads nothing else here.
    ejected: AtomicUsize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    cells: HashMap<CellName, Group>,
    /// The bodies that have been asked for a sign of life.
    asked: HashMap<BodyId, State>,
}

/// The bodies that answer for one cell.
#[derive(Default)]
struct Group {
    bodies: Vec<BodyId>,
    turn: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Probed,
    Ejected,
    Well(Instant),
}

/// Result of a probe.
enum Sign {
    Alive,
    Gone,
    Silent,
    /// The probe was not sent: it shows nothing.
    Unsent,
    /// The server reported an error at the same time: perhaps this client may not ask.
    Refused,
}

impl Members {
    pub(crate) fn new(
        connection: Arc<Connection>,
        namespace: Namespace,
        counters: Arc<LinkCounters>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            connection,
            namespace,
            counters,
            tasks,
            stop,
            ejected: AtomicUsize::new(0),
            known: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a body answered for a target. The body's id in a reply is a claim. A false
    /// one costs a few probes.
    pub(crate) fn answered(&self, target: &Target, body: &str) {
        let (Target::Cell(cell), Ok(body)) = (target, body.parse::<BodyId>()) else { return };
        let mut known = self.lock();
        if known.cells.len() >= CELLS_MAX && !known.cells.contains_key(cell) {
            known.cells.clear();
        }
        let group = known.cells.entry(cell.clone()).or_default();
        if group.bodies.len() < BODIES_MAX && !group.bodies.contains(&body) {
            group.bodies.push(body);
        }
    }

    /// Asks all bodies that answer for a target for a sign of life, after a call to it has timed
    /// out.
    pub(crate) fn timed_out(self: &Arc<Self>, target: &Target) {
        let Target::Cell(cell) = target else { return };
        let mut known = self.lock();
        known.asked.retain(
            |_, state| !matches!(state, State::Well(since) if since.elapsed() >= PROBE_EVERY),
        );
        let bodies = known.cells.get(cell).map(|group| group.bodies.clone()).unwrap_or_default();
        for body in bodies {
            if !known.asked.contains_key(&body) {
                known.asked.insert(body.clone(), State::Probed);
                let members = self.clone();
                let stop = self.stop.clone();
                self.tasks
                    .spawn(async move { stop.run_until_cancelled(members.probe(body)).await });
            }
        }
    }

    /// True if calls must ask [`Self::failover`].
    pub(crate) fn any_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed) > 0
    }

    /// Returns the next body in turn, if one of those that answer for the target is ejected.
    /// `except` is the body that must not be chosen.
    pub(crate) fn failover(
        &self,
        target: &Target,
        except: Option<&BodyId>,
    ) -> Option<(BodyId, Subject)> {
        let Target::Cell(cell) = target else { return None };
        let mut known = self.lock();
        let Known { cells, asked } = &mut *known;
        let group = cells.get_mut(cell)?;
        let is_ejected = |body: &BodyId| asked.get(body) == Some(&State::Ejected);
        if !group.bodies.iter().any(is_ejected) {
            return None;
        }
        let well: Vec<&BodyId> =
            group.bodies.iter().filter(|body| !is_ejected(body) && Some(*body) != except).collect();
        group.turn = group.turn.wrapping_add(1);
        let body = (*well.get(group.turn.checked_rem(well.len())?)?).clone();
        let subject = Subject::of_cell_in_body(&self.namespace, &body, cell);
        Some((body, subject))
    }

    /// Forgets that a body answers for a target, because it does not any more.
    pub(crate) fn forget(&self, target: &Target, body: &BodyId) {
        let Target::Cell(cell) = target else { return };
        if let Some(group) = self.lock().cells.get_mut(cell) {
            group.bodies.retain(|other| other != body);
        }
    }

    /// Probes a body until it answers or is gone. Ejects it meanwhile if it misses too many probes.
    async fn probe(&self, body: BodyId) {
        let subject = Subject::of_control(&self.namespace, &body);
        let started = Instant::now();
        let mut missed = 0;
        loop {
            match self.ask(&subject).await {
                // If the client may not ask, the state is unknown: no body is ejected for that.
                Sign::Alive | Sign::Refused => return self.let_in(&body, true),
                Sign::Gone => return self.let_in(&body, false),
                Sign::Silent if started.elapsed() >= SILENT_MAX => {
                    return self.let_in(&body, false);
                }
                Sign::Silent => missed += 1,
                Sign::Unsent => {}
            }
            if missed == MISSES {
                self.eject(&body);
                // Counted once.
                missed += 1;
            }
            if missed > MISSES || !self.connection.is_up() {
                tokio::time::sleep(PROBE_EVERY).await;
            }
        }
    }

    async fn ask(&self, subject: &Subject) -> Sign {
        if !self.connection.is_up() {
            return Sign::Unsent;
        }
        let errors = self.counters.read().server_errors;
        let (reply, mut expected) = self.connection.inbox.expect();
        let subject = async_nats::Subject::from(subject.as_str());
        if self.connection.client().publish_with_reply(subject, reply, Bytes::new()).await.is_err()
        {
            return Sign::Unsent;
        }
        match tokio::time::timeout(PROBE_TIMEOUT, expected.message()).await {
            Ok(Some(message)) if is_no_responders(&message) => Sign::Gone,
            Ok(Some(_)) => Sign::Alive,
            // The connection was lost.
            Ok(None) => Sign::Unsent,
            Err(_) if self.counters.read().server_errors > errors => Sign::Refused,
            Err(_) => Sign::Silent,
        }
    }

    fn eject(&self, body: &BodyId) {
        self.lock().asked.insert(body.clone(), State::Ejected);
        self.ejected.fetch_add(1, Ordering::Relaxed);
        self.counters.ejections.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%body, "a body does not respond; its calls go to other bodies until it does");
    }

    fn let_in(&self, body: &BodyId, alive: bool) {
        let mut known = self.lock();
        let before = if alive {
            known.asked.insert(body.clone(), State::Well(Instant::now()))
        } else {
            known.cells.values_mut().for_each(|group| group.bodies.retain(|other| other != body));
            known.asked.remove(body)
        };
        drop(known);
        if before == Some(State::Ejected) {
            self.ejected.fetch_sub(1, Ordering::Relaxed);
            tracing::info!(%body, alive, "an unresponsive body responds again, or has left");
        }
    }
}
