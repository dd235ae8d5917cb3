//! The calls of one running step: one call, or one for each item of a list.

use std::collections::BTreeMap;

use cbs::CellError;
use jaq_json::Val;

use crate::{CallId, Json};

/// Calls of a step: running calls, answers, and the next item.
#[derive(Debug, PartialEq)]
pub(super) struct Calls {
    /// The items of an `each`.
    items: Option<Vec<Val>>,
    parallel: usize,
    /// The item that starts next.
    next: usize,
    live: BTreeMap<u32, Live>,
    answers: Vec<Json>,
    /// Error of the first item that failed for good. While it is set, no other item starts.
    failure: Option<CellError>,
}

/// A call that runs or waits for its next attempt. In both cases it counts for `parallel`.
#[derive(Debug, PartialEq)]
pub(super) struct Live {
    pub(super) attempt: u32,
    pub(super) state: Activity,
    pub(super) input: Json,
}

/// State of a live call, with the time when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// The attempt runs and has its own limit, if any.
    Running { due_ms: Option<u64> },
    /// The attempt starts at this time.
    Waiting { due_ms: u64 },
}

impl Live {
    /// A first attempt that runs.
    pub(super) fn new(input: Json, due_ms: Option<u64>) -> Self {
        Self { attempt: 0, state: Activity::Running { due_ms }, input }
    }

    fn is_waiting(&self) -> bool {
        matches!(self.state, Activity::Waiting { .. })
    }
}

impl Calls {
    pub(super) fn new(items: Option<Vec<Val>>, parallel: usize) -> Self {
        let answers = vec![Json::null(); items.as_ref().map_or(1, Vec::len)];
        Self { items, parallel, next: 0, live: BTreeMap::new(), answers, failure: None }
    }

    /// The item to start now, with its value if there is an `each`.
    pub(super) fn next(&self) -> Option<(u32, Option<&Val>)> {
        let is_free = self.failure.is_none()
            && self.live.len() < self.parallel
            && self.next < self.answers.len();
        let item = u32::try_from(self.next).ok().filter(|_| is_free)?;
        Some((item, self.items.as_ref().and_then(|items| items.get(self.next))))
    }

    /// Index of the item in the name of its call, if there is an `each`.
    pub(super) fn label(&self, item: u32) -> Option<u32> {
        self.items.as_ref().map(|_| item)
    }

    /// The calls that run or wait, in the order of the items.
    pub(super) fn all_live(&self) -> impl Iterator<Item = (u32, &Live)> {
        self.live.iter().map(|(item, live)| (*item, live))
    }

    pub(super) fn start(&mut self, item: u32, live: Live) {
        self.next += 1;
        self.live.insert(item, live);
    }

    fn live(&self, call: &CallId) -> Option<&Live> {
        let is_ours = !call.is_fallback() && call.item().is_some() == self.items.is_some();
        let live = self.live.get(&call.item().unwrap_or(0));
        live.filter(|live| is_ours && live.attempt == call.attempt())
    }

    /// True if exactly this attempt runs.
    pub(super) fn is_running(&self, call: &CallId) -> bool {
        self.live(call).is_some_and(|live| !live.is_waiting())
    }

    /// Ends a running attempt.
    pub(super) fn end(&mut self, call: &CallId) {
        self.live.remove(&call.item().unwrap_or(0));
    }

    /// Ends a running attempt with its answer.
    pub(super) fn answer(&mut self, call: &CallId, value: Json) {
        self.end(call);
        let item = usize::try_from(call.item().unwrap_or(0)).unwrap_or(usize::MAX);
        if let Some(slot) = self.answers.get_mut(item) {
            *slot = value;
        }
    }

    /// The step's value, when every call was answered.
    pub(super) fn all(&mut self) -> Option<Json> {
        if !self.live.is_empty() || self.next < self.answers.len() {
            return None;
        }
        let mut answers = std::mem::take(&mut self.answers);
        Some(match self.items {
            Some(_) => Json::list(&answers),
            None => answers.pop().unwrap_or_else(Json::null),
        })
    }

    /// Lets a call wait until its next attempt, which is `call`, starts.
    pub(super) fn wait(&mut self, call: &CallId, due_ms: u64) {
        if let Some(live) = self.live.get_mut(&call.item().unwrap_or(0)) {
            live.attempt = call.attempt();
            live.state = Activity::Waiting { due_ms };
        }
    }

    /// Starts the attempt that waited. Returns its input, or `None` if it did not wait.
    pub(super) fn wake(&mut self, call: &CallId, due_ms: Option<u64>) -> Option<Json> {
        self.live(call).filter(|live| live.is_waiting())?;
        let live = self.live.get_mut(&call.item().unwrap_or(0))?;
        live.state = Activity::Running { due_ms };
        Some(live.input.clone())
    }

    /// Ends the start of items because the step failed. Of several failures the first counts.
    pub(super) fn stop(&mut self, error: CellError) {
        self.failure.get_or_insert(error);
        self.live.retain(|_, live| !live.is_waiting());
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.failure.is_some()
    }

    /// The failure, if no call runs any more.
    pub(super) fn take_failure(&mut self) -> Option<CellError> {
        self.failure.take_if(|_| self.live.is_empty())
    }
}
