//! Host calls: calls, events, lines to print and questions that a cell sends while it runs. They
//! run on tokio. The outcome comes back to the lane through its inbox, so that no lane waits for a
//! host call.

use std::{future::Future, sync::Arc, time::Duration};

use cbs::{BusError, CellError, Code, Envelope, Outcome};
use tokio::{runtime::Handle, sync::Semaphore, task::AbortHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::lane::{Lane, LaneEvent};

/// Limit of the number of host calls that the lanes of one cell may have in flight. More are
/// refused with `overloaded`.
const HOST_CALLS_MAX: usize = 1024;

/// Kind of the outcome of a host call.
pub(crate) enum Arrived {
    /// The host call is done and has no value.
    Nothing,
    /// A cell's reply.
    Reply(Box<Envelope>),
    /// A person's answer, or `None` if there is nobody to ask.
    Answer(Option<String>),
}

/// Host call that is done, with the number that the lane knows it by.
pub(crate) struct Done {
    pub(crate) number: u64,
    pub(crate) result: Result<Arrived, BusError>,
}

/// Host calls of one cell. They are bounded, and they end with the cell.
pub(crate) struct HostCalls {
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    runtime: Handle,
    stop: CancellationToken,
}

impl HostCalls {
    pub(crate) fn new(runtime: Handle) -> Self {
        let permits = Arc::new(Semaphore::new(HOST_CALLS_MAX));
        Self { tasks: TaskTracker::new(), permits, runtime, stop: CancellationToken::new() }
    }

    /// Begins a host call. Returns `None` if it was refused: the lane then receives the error.
    pub(crate) fn begin(
        &self,
        lane: &Arc<Lane>,
        number: u64,
        work: impl Future<Output = Result<Arrived, BusError>> + Send + 'static,
    ) -> Option<AbortHandle> {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            let message = format!("the cell has {HOST_CALLS_MAX} calls of its own under way");
            let error = CellError::new(Code::Overloaded, message).retryable();
            lane.notify(LaneEvent::Done(Done {
                number,
                result: Err(BusError::new(error, Outcome::NotRun)),
            }));
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

/// Converts seconds to a duration. Returns `None` if the number is negative, too large or not
/// finite.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}
