//! What a body tells of itself: each change of a cell's state, and its own coming and going, as
//! events `cbs.cell.<state>` and `cbs.body.<state>`.
//!
//! Telling never holds up what is told of: it is a word into a bounded queue, which one task
//! publishes. What the queue or the bus does not take is lost to those who listen, and logged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cbs::{BodyBus, BodyId, CellName, Envelope, Source, Target, Topic};
use host::{Phase, Running, State};
use serde_json::json;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::task::TaskTracker;

/// How many events may wait to be published: all cells of a large body may start at once.
const WAITING_MAX: usize = 16_384;
/// How long the bus may take for one event.
const PUBLISH_LIMIT: Duration = Duration::from_secs(2);
/// How long a body that starts or ends waits until its events are out.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);

/// Tells of one body.
pub(super) struct Events {
    teller: Teller,
    /// One for each cell that is told of.
    followers: TaskTracker,
    _publisher: TaskTracker,
}

#[derive(Clone)]
struct Teller {
    body: BodyId,
    queue: mpsc::Sender<EventCommand>,
    missed: Arc<AtomicU64>,
}

enum EventCommand {
    Event(Box<Envelope>),
    /// Answered when all words before it are out.
    Settled(oneshot::Sender<()>),
}

impl Events {
    pub(super) fn new(bus: Arc<dyn BodyBus>, body: BodyId) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let missed = Arc::new(AtomicU64::new(0));
        let publisher = TaskTracker::new();
        publisher.spawn(publish(bus, waiting, missed.clone()));
        Self { teller: Teller { body, queue, missed }, followers: TaskTracker::new(), _publisher: publisher }
    }

    /// Tells of the body: `joined`, `draining`, `left`.
    pub(super) fn body(&self, state: &str) {
        let payload = json!({ "body": self.teller.body, "state": state });
        self.teller.report("body", state, "", payload);
    }

    /// Tells where a cell stands now, and whenever that changes, until its end.
    pub(super) fn follow(&self, running: &Running) {
        let (name, revision) = (running.spec().name.clone(), running.spec().metadata.revision.as_str().into());
        let mut state = running.state();
        let cell = Followed { teller: self.teller.clone(), name, revision };
        let now = state.borrow_and_update().clone();
        cell.report(&now);
        self.followers.spawn(cell.follow(state, now));
    }

    /// Tells that another version of a cell serves.
    pub(super) fn replaced(&self, running: &Running) {
        let spec = running.spec();
        let followed = Followed {
            teller: self.teller.clone(),
            name: spec.name.clone(),
            revision: spec.metadata.revision.as_str().into(),
        };
        followed.say("replaced", None);
    }

    /// Tells what became of a cell or flow: `failed` for one that did not start, `replaced`,
    /// `canary-started`, `canary-promoted`, `canary-rolled-back`.
    pub(super) fn of(&self, target: &Target, revision: &str, state: &str, reason: Option<&str>) {
        let (kind, body) = (target.kind(), &self.teller.body);
        let payload =
            json!({ "body": body, kind: target.name(), "revision": revision, "state": state, "reason": reason });
        self.teller.report(kind, state, revision, payload);
    }

    /// Tells that the body has left, after the last word about its cells.
    pub(super) async fn leave(&self) {
        self.followers.close();
        // Cells that were cut off may still be told of; they are not waited for.
        _ = timeout(SETTLE_LIMIT, self.followers.wait()).await;
        self.body("left");
        self.settle().await;
    }

    /// Waits until all that was told is out, for a moment at the most.
    pub(super) async fn settle(&self) {
        let (settled, done) = oneshot::channel();
        if self.teller.queue.try_send(EventCommand::Settled(settled)).is_ok() {
            // Not out in time: it goes out later, or is logged.
            _ = timeout(SETTLE_LIMIT, done).await;
        }
    }
}

impl Teller {
    fn report(&self, kind: &str, state: &str, revision: &str, mut payload: serde_json::Value) {
        let Ok(topic) = Topic::new(&format!("cbs.{kind}.{state}")) else { return };
        let now = cbs::now_ms();
        if let Some(payload) = payload.as_object_mut() {
            payload.insert("time".to_owned(), crate::output::moment(now).into());
        }
        let source = Source { body: self.body.as_str().into(), revision: revision.into(), ..Source::default() };
        let event = Envelope { source, time_ms: now, ..Envelope::event(topic, payload.to_string()) };
        if self.queue.try_send(EventCommand::Event(Box::new(event))).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A cell that is told of.
struct Followed {
    teller: Teller,
    name: CellName,
    revision: String,
}

impl Followed {
    /// Ends with the cell.
    async fn follow(self, mut state: watch::Receiver<State>, mut last: State) {
        let mut counted = false;
        while state.changed().await.is_ok() {
            let now = state.borrow_and_update().clone();
            let same = now.phase == last.phase && now.reason == last.reason;
            // One more start is no news, how it goes is; one fall may be entered twice.
            let more = now.restarts != last.restarts;
            if !same || (counted && !more) {
                self.report(&now);
            }
            (counted, last) = (more, now);
        }
    }

    fn report(&self, state: &State) {
        if matches!(state.phase, Phase::Ready | Phase::Restarting | Phase::Failed | Phase::Stopped) {
            // Why it was once restarted is no news where it is ready, or stopped as it was told.
            let reason = state.reason.as_deref().filter(|_| matches!(state.phase, Phase::Restarting | Phase::Failed));
            self.say(&state.phase.to_string(), reason);
        }
    }

    fn say(&self, state: &str, reason: Option<&str>) {
        let Self { teller, name, revision } = self;
        let payload =
            json!({ "body": teller.body, "cell": name, "revision": revision, "state": state, "reason": reason });
        teller.report("cell", state, revision, payload);
    }
}

/// Publishes until nobody is left who could tell.
async fn publish(bus: Arc<dyn BodyBus>, mut waiting: mpsc::Receiver<EventCommand>, missed: Arc<AtomicU64>) {
    while let Some(word) = waiting.recv().await {
        match word {
            EventCommand::Event(event) => match timeout(PUBLISH_LIMIT, bus.publish(*event)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!("an event of the body is not told: {error}"),
                Err(_) => tracing::debug!("an event of the body is not told: the bus takes none"),
            },
            // Who asked may have given up.
            EventCommand::Settled(settled) => _ = settled.send(()),
        }
        let missed = missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            tracing::warn!("{missed} events of this body are not told: {WAITING_MAX} were waiting");
        }
    }
}
