//! What a cell asks of the world while it runs: calls, events, lines to print, questions. Carried out on tokio; the
//! outcome comes back to the lane through its inbox, so that no lane ever waits for one.

use std::{future::Future, sync::Arc, time::Duration};

use cbs::{BusError, CellError, Code, Envelope, Outcome};
use tokio::{runtime::Handle, sync::Semaphore, task::AbortHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::lane::{Lane, LaneEvent};

/// How many errands the lanes of one cell may have under way. More are refused with `overloaded`.
const HOST_CALLS_MAX: usize = 1024;

/// What came of an errand.
pub(crate) enum Arrived {
    /// It is done, and there is nothing more to say.
    Nothing,
    /// A cell's reply.
    Reply(Box<Envelope>),
    /// A person's answer; `None` where nobody can be asked.
    Answer(Option<String>),
}

/// An errand that is done, by the number that the lane knows it by.
pub(crate) struct Done {
    pub(crate) number: u64,
    pub(crate) result: Result<Arrived, BusError>,
}

/// The errands of one cell: bounded, and ended with it.
pub(crate) struct HostCalls {
    tasks: TaskTracker,
    room: Arc<Semaphore>,
    runtime: Handle,
    stop: CancellationToken,
}

impl HostCalls {
    pub(crate) fn new(runtime: Handle) -> Self {
        let room = Arc::new(Semaphore::new(HOST_CALLS_MAX));
        Self { tasks: TaskTracker::new(), room, runtime, stop: CancellationToken::new() }
    }

    /// Begins one. `None`: it was refused, and the lane is told so.
    pub(crate) fn begin(
        &self,
        lane: &Arc<Lane>,
        number: u64,
        work: impl Future<Output = Result<Arrived, BusError>> + Send + 'static,
    ) -> Option<AbortHandle> {
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            let message = format!("the cell has {HOST_CALLS_MAX} calls of its own under way");
            let error = CellError::new(Code::Overloaded, message).retryable();
            lane.notify(LaneEvent::Done(Done { number, result: Err(BusError::new(error, Outcome::NotRun)) }));
            return None;
        };
        let (lane, stop) = (lane.clone(), self.stop.clone());
        let task = async move {
            if let Some(result) = stop.run_until_cancelled(work).await {
                lane.notify(LaneEvent::Done(Done { number, result }));
            }
            drop(permit);
        };
        Some(self.tasks.spawn_on(task, &self.runtime).abort_handle())
    }
}

impl Drop for HostCalls {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What remains for a call that may take so many seconds.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}
