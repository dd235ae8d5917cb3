//! Events of a body: each change of a cell's state, and its own start and end, as events
//! `cbs.cell.<state>` and `cbs.body.<state>`. An event never delays the change that it reports: it
//! is a message in a bounded queue, which one task publishes. Events that the queue or the bus does
//! not take are lost to the subscribers, and logged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cbs::{BodyBus, BodyId, CellName, Envelope, Source, Target, Topic};
use host::{Running, State};
use model::Phase;
use serde_json::json;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::task::TaskTracker;

/// Limit of the number of events that wait to be published: all cells of a large body may start at
/// once.
const WAITING_MAX: usize = 16_384;
/// Limit of the time that the bus may take for one event.
const PUBLISH_LIMIT: Duration = Duration::from_secs(2);
/// Limit of the time that a body waits, at its start or end, until its events are published.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);

/// Events of one body.
pub(super) struct Events {
    reporter: Reporter,
    /// Tasks that follow the state of the cells, one for each.
    followers: TaskTracker,
    _publisher: TaskTracker,
}

#[derive(Clone)]
struct Reporter {
    body: BodyId,
    queue: mpsc::Sender<EventCommand>,
    missed: Arc<AtomicU64>,
}

enum EventCommand {
    Event(Box<Envelope>),
    /// Answered when all events before it are published.
    Settled(oneshot::Sender<()>),
}

impl Events {
    pub(super) fn new(bus: Arc<dyn BodyBus>, body: BodyId) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let missed = Arc::new(AtomicU64::new(0));
        let publisher = TaskTracker::new();
        publisher.spawn(publish(bus, waiting, missed.clone()));
        Self {
            reporter: Reporter { body, queue, missed },
            followers: TaskTracker::new(),
            _publisher: publisher,
        }
    }

    /// Reports a state of the body: `joined`, `draining`, `left`.
    pub(super) fn body(&self, state: &str) {
        let payload = json!({ "body": self.reporter.body, "state": state });
        self.reporter.report("body", state, "", payload);
    }

    /// Reports the present state of a cell, and each change of it until the cell's end.
    pub(super) fn follow(&self, running: &Running) {
        let name = running.spec().name.clone();
        let revision = running.spec().metadata.revision.as_str().into();
        let mut state = running.state();
        let cell = Followed { reporter: self.reporter.clone(), name, revision };
        let now = state.borrow_and_update().clone();
        cell.report(&now);
        self.followers.spawn(cell.follow(state, now));
    }

    /// Reports that another version of a cell serves.
    pub(super) fn replaced(&self, running: &Running) {
        let spec = running.spec();
        let followed = Followed {
            reporter: self.reporter.clone(),
            name: spec.name.clone(),
            revision: spec.metadata.revision.as_str().into(),
        };
        followed.say("replaced", None);
    }

    /// Reports the result for a cell or flow: `failed` for one that did not start, `replaced`,
    /// `canary-started`, `canary-promoted`, `canary-rolled-back`.
    pub(super) fn of(&self, target: &Target, revision: &str, state: &str, reason: Option<&str>) {
        let kind = target.kind();
        let body = &self.reporter.body;
        let payload = json!({ "body": body, kind: target.name(), "revision": revision, "state": state, "reason": reason });
        self.reporter.report(kind, state, revision, payload);
    }

    /// Reports that the body has left, after the last event about its cells.
    pub(super) async fn leave(&self) {
        self.followers.close();
        // Cells that were cut off may still cause events; these are not waited for.
        _ = timeout(SETTLE_LIMIT, self.followers.wait()).await;
        self.body("left");
        self.settle().await;
    }

    /// Waits until all events so far are published, for at most [`SETTLE_LIMIT`].
    pub(super) async fn settle(&self) {
        let (settled, done) = oneshot::channel();
        if self.reporter.queue.try_send(EventCommand::Settled(settled)).is_ok() {
            // If the events are not published in time, they follow later, or are logged.
            _ = timeout(SETTLE_LIMIT, done).await;
        }
    }
}

impl Reporter {
    fn report(&self, kind: &str, state: &str, revision: &str, mut payload: serde_json::Value) {
        let Ok(topic) = Topic::new(&format!("cbs.{kind}.{state}")) else { return };
        let now = cbs::now_ms();
        if let Some(payload) = payload.as_object_mut() {
            payload.insert("time".to_owned(), crate::output::moment(now).into());
        }
        let source = Source {
            body: self.body.as_str().into(),
            revision: revision.into(),
            ..Source::default()
        };
        let event =
            Envelope { source, time_ms: now, ..Envelope::event(topic, payload.to_string()) };
        if self.queue.try_send(EventCommand::Event(Box::new(event))).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Cell whose state is reported.
struct Followed {
    reporter: Reporter,
    name: CellName,
    revision: String,
}

impl Followed {
    /// Reports changes of the state until the cell ends.
    async fn follow(self, mut state: watch::Receiver<State>, mut last: State) {
        let mut counted = false;
        while state.changed().await.is_ok() {
            let now = state.borrow_and_update().clone();
            let same = now.phase == last.phase && now.reason == last.reason;
            // A further start alone is no event, but its result is. One failure may be recorded
            // twice.
            let more = now.restarts != last.restarts;
            if !same || (counted && !more) {
                self.report(&now);
            }
            (counted, last) = (more, now);
        }
    }

    fn report(&self, state: &State) {
        if matches!(state.phase, Phase::Ready | Phase::Restarting | Phase::Failed | Phase::Stopped)
        {
            // The reason of an earlier restart does not matter when the cell is ready, or was
            // stopped on request.
            let reason = state
                .reason
                .as_deref()
                .filter(|_| matches!(state.phase, Phase::Restarting | Phase::Failed));
            self.say(&state.phase.to_string(), reason);
        }
    }

    fn say(&self, state: &str, reason: Option<&str>) {
        let Self { reporter, name, revision } = self;
        let payload = json!({ "body": reporter.body, "cell": name, "revision": revision, "state": state, "reason": reason });
        reporter.report("cell", state, revision, payload);
    }
}

/// Publishes events until all senders are dropped.
async fn publish(
    bus: Arc<dyn BodyBus>,
    mut waiting: mpsc::Receiver<EventCommand>,
    missed: Arc<AtomicU64>,
) {
    while let Some(word) = waiting.recv().await {
        match word {
            EventCommand::Event(event) => match timeout(PUBLISH_LIMIT, bus.publish(*event)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!("an event of the body was not published: {error}");
                }
                Err(_) => tracing::debug!(
                    "an event of the body was not published: the bus accepts no more"
                ),
            },
            // The caller may have given up.
            EventCommand::Settled(settled) => _ = settled.send(()),
        }
        let missed = missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            tracing::warn!("{missed} events of this body were dropped: {WAITING_MAX} were waiting");
        }
    }
}
