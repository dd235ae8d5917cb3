//! One call in a lane. The caller's task creates it, and the first lane that claims it runs it.

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

/// Answer of a cell: payload and content type (empty means JSON), or an error that also says
/// whether the cell ran.
pub(crate) type Answer = Result<(Bytes, Text), BusError>;

/// The call waits in the queue of one or more lanes. The first lane that claims it runs it.
const WAITING: u8 = 0;
/// A lane runs the call.
const RUNNING: u8 = 1;
/// No lane will run the call any more: it was answered, or its caller has given up.
const ENDED: u8 = 2;

/// A call. It holds no Python objects, so that every thread may drop it.
pub(crate) struct Call {
    pub(crate) context: CellContext,
    pub(crate) request: Envelope,
    /// Time at which the call came, by the lanes' clock ([`now_us`]).
    pub(crate) since_us: u64,
    state: AtomicU8,
    /// Lane whose load includes this call: the lane that it waits for, or that runs it.
    lane: Mutex<Option<Arc<Lane>>>,
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
    /// Wakes the task that passes on the notes about this call at once.
    noter: AtomicWaker,
}

impl Call {
    pub(crate) fn new(
        env: &Arc<CellEnv>,
        request: Envelope,
    ) -> (Arc<Self>, oneshot::Receiver<Answer>) {
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

    /// Returns a number that no other call of the same time has.
    pub(crate) fn key(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// Reports that a note about this call was added to its context.
    pub(crate) fn noted(&self) {
        self.noter.wake();
    }

    /// Returns true if the call still waits for its turn.
    pub(crate) fn waits(&self) -> bool {
        self.state.load(Ordering::Acquire) == WAITING
    }

    /// Counts the call to the load of this lane, and no longer to that of the lane before. Does
    /// nothing if the call no longer waits: the lane that runs it must receive its cancellation.
    pub(crate) fn move_to(&self, lane: &Arc<Lane>) {
        let mut place = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        if self.waits() {
            Self::count_to(&mut place, lane);
        }
    }

    /// Claims the call for a lane. Returns false if another lane has claimed it, or its caller has
    /// given up.
    pub(crate) fn claim(&self, lane: &Arc<Lane>) -> bool {
        // Held all the time: code that finds the call claimed also finds the lane that claimed it.
        let mut place = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = self
            .state
            .compare_exchange(WAITING, RUNNING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
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

    /// Ends the call with the answer of the lane that runs it. A second answer has no receiver and
    /// is dropped.
    pub(crate) fn end(&self, lane: &Arc<Lane>, answer: Answer) {
        lane.running.take();
        self.state.store(ENDED, Ordering::Release);
        self.leave();
        if let Some(notify) = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Its caller may have given up meanwhile.
            _ = notify.send(answer);
        }
    }

    /// Records that the caller gives up. Returns the lane that runs the call, if there is one: that
    /// lane still ends the call.
    pub(crate) fn abandon(&self) -> Option<Arc<Lane>> {
        let waited =
            self.state.compare_exchange(WAITING, ENDED, Ordering::AcqRel, Ordering::Acquire);
        if waited.is_ok() {
            self.leave();
            return None;
        }
        self.lane.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers a waiting call with an error because its lane has ended and no lane will run it.
    pub(crate) fn refuse(&self) {
        let waited =
            self.state.compare_exchange(WAITING, ENDED, Ordering::AcqRel, Ordering::Acquire);
        if waited.is_err() {
            return;
        }
        self.leave();
        if let Some(notify) = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let target = &self.context.env().target;
            _ = notify
                .send(Err(BusError::unavailable(target, "its lane ended before the call's turn")));
        }
    }

    fn leave(&self) {
        if let Some(lane) = self.lane.lock().unwrap_or_else(PoisonError::into_inner).take() {
            lane.load.take();
        }
    }
}

/// Handle of a call in its caller's task. If it is dropped before the answer, the call is given up.
/// In both cases, the notes about the call until then go to the recorded context.
pub(crate) struct Pending<'a> {
    call: Arc<Call>,
    recorded: &'a CellContext,
    answered: bool,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(call: Arc<Call>, recorded: &'a CellContext) -> Self {
        Self { call, recorded, answered: false }
    }

    /// Waits for the answer. If the lane ends without an answer, the cell has failed. The notes
    /// about the call are passed on when the call ends, or at once if `at_once` is true.
    pub(crate) async fn answer(
        mut self,
        mut answer: oneshot::Receiver<Answer>,
        at_once: bool,
    ) -> Answer {
        let answer = poll_fn(|cx| {
            if at_once {
                // Registered first: a note that is added from here on wakes this task.
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
