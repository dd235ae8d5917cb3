//! One call on its way through a lane: made on its caller's task, run by whichever lane claims it first.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use cbs::{BusError, Bytes, CellContext, CellEnv, CellError, Envelope, Text};
use futures::task::AtomicWaker;
use sidecar::hand_on_notes;
use tokio::sync::oneshot;

use crate::lane::{Lane, now_us};

/// What a cell answered: payload and content type (empty: JSON), or an error, and whether the cell ran.
pub(crate) type Answer = Result<(Bytes, Text), BusError>;

/// It waits in the queue of a lane, or of several: the first to claim it runs it.
const WAITING: u8 = 0;
/// A lane runs it.
const RUNNING: u8 = 1;
/// Nobody will run it any more: it was answered, or its caller has given up.
const ENDED: u8 = 2;

/// A call. Holds nothing of Python's, so that every thread may drop it.
pub(crate) struct Call {
    pub(crate) context: CellContext,
    pub(crate) request: Envelope,
    /// When it came, by the lanes' clock.
    pub(crate) since_us: u64,
    state: AtomicU8,
    /// Whose load it counts to: the lane that it waits for, or that runs it.
    lane: Mutex<Option<Arc<Lane>>>,
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
    /// Wakes whoever hands on at once what is said about it.
    noter: AtomicWaker,
}

impl Call {
    pub(crate) fn new(env: &Arc<CellEnv>, request: Envelope) -> (Arc<Self>, oneshot::Receiver<Answer>) {
        let (notify, answer) = oneshot::channel();
        let call = Self {
            context: CellContext::new(env.clone(), &request),
            request,
            since_us: now_us(),
            state: AtomicU8::new(WAITING),
            lane: Mutex::new(None),
            answer: Mutex::new(Some(notify)),
            noter: AtomicWaker::new(),
        };
        (Arc::new(call), answer)
    }

    /// A number that no other call of this time has.
    pub(crate) fn key(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// Something was said about it in its context.
    pub(crate) fn noted(&self) {
        self.noter.wake();
    }

    /// Whether it still waits for its turn.
    pub(crate) fn waits(&self) -> bool {
        self.state.load(Ordering::Acquire) == WAITING
    }

    /// Makes it count to this lane, and no longer to the one before. Nothing where it waits no more: whoever runs it
    /// is to hear when it is given up.
    pub(crate) fn move_to(&self, lane: &Arc<Lane>) {
        let mut place = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        if self.waits() {
            Self::count_to(&mut place, lane);
        }
    }

    /// Claims it for a lane: `false` where another has, or its caller has given up.
    pub(crate) fn claim(&self, lane: &Arc<Lane>) -> bool {
        // Held all along: who finds it claimed finds the lane that claimed it.
        let mut place = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = self.state.compare_exchange(WAITING, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if claimed {
            Self::count_to(&mut place, lane);
            lane.running.add();
        }
        claimed
    }

    fn count_to(place: &mut Option<Arc<Lane>>, lane: &Arc<Lane>) {
        if place.as_ref().is_some_and(|before| Arc::ptr_eq(before, lane)) {
            return;
        }
        lane.load.add();
        if let Some(before) = place.replace(lane.clone()) {
            before.load.take();
        }
    }

    /// The lane that runs it is done with it. Whoever comes second finds nobody to tell.
    pub(crate) fn end(&self, lane: &Arc<Lane>, answer: Answer) {
        lane.running.take();
        self.state.store(ENDED, Ordering::Release);
        self.leave();
        if let Some(notify) = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Its caller may have given up meanwhile.
            _ = notify.send(answer);
        }
    }

    /// Its caller gives up. Returns the lane that runs it, if one does: that lane still ends it.
    pub(crate) fn abandon(&self) -> Option<Arc<Lane>> {
        let waited = self.state.compare_exchange(WAITING, ENDED, Ordering::AcqRel, Ordering::Acquire);
        if waited.is_ok() {
            self.leave();
            return None;
        }
        self.lane.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody will run it: its lane has ended.
    pub(crate) fn refuse(&self) {
        let waited = self.state.compare_exchange(WAITING, ENDED, Ordering::AcqRel, Ordering::Acquire);
        if waited.is_err() {
            return;
        }
        self.leave();
        if let Some(notify) = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let target = &self.context.env().target;
            _ = notify.send(Err(BusError::unavailable(target, "its lane ended before the call's turn")));
        }
    }

    fn leave(&self) {
        if let Some(lane) = self.lane.lock().unwrap_or_else(PoisonError::into_inner).take() {
            lane.load.take();
        }
    }
}

/// A call as its caller's task holds it: dropped before its answer, it gives the call up. Either way, what was said about
/// it until then goes to the context that is recorded.
pub(crate) struct Pending<'a> {
    call: Arc<Call>,
    recorded: &'a CellContext,
    answered: bool,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(call: Arc<Call>, recorded: &'a CellContext) -> Self {
        Self { call, recorded, answered: false }
    }

    /// Waits for the answer. A lane that ended without one has failed. What is said about the call is handed on at its
    /// end or, where that is not soon enough for whoever records it, `at_once`.
    pub(crate) async fn answer(mut self, mut answer: oneshot::Receiver<Answer>, at_once: bool) -> Answer {
        let answer = poll_fn(|cx| {
            if at_once {
                // First of all: what is said from here on wakes this.
                self.call.noter.register(cx.waker());
                hand_on_notes(&self.call.context, self.recorded);
            }
            Pin::new(&mut answer).poll(cx)
        });
        let answer = answer.await;
        self.answered = true;
        answer.unwrap_or_else(|_| Err(CellError::cell_failed(self.call.request.id).into()))
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        hand_on_notes(&self.call.context, self.recorded);
        if self.answered {
            return;
        }
        if let Some(lane) = self.call.abandon() {
            lane.cancel(self.call.clone());
        }
    }
}
