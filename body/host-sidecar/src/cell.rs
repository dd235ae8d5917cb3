//! A cell that runs in processes of its own: the side that its body calls.

use std::{sync::Arc, time::Duration};

use cbs::{
    Bytes, Cell, CellContext, CellEnv, CellError, Code, Envelope, Kind, Outcome, Transport, frame,
};
use sidecar::CallError;
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::process_pool::{Entry, Lease, ProcessPool};

/// A cell that runs in processes, as the body's endpoint calls it. Dropping it kills the processes;
/// [`Cell::stop`] loses nothing.
pub(crate) struct ProcessCell {
    pub(crate) env: Arc<CellEnv>,
    pub(crate) pool: Arc<ProcessPool>,
    pub(crate) stop: CancellationToken,
    /// The pool supervisor's task, which holds everything that runs for the cell. It ends when this
    /// is dropped.
    pub(crate) supervisor: Mutex<JoinSet<()>>,
    /// Limit of the time for a stop. It is longer than the stop's own limits together.
    pub(crate) stop_limit: Duration,
}

impl Cell for ProcessCell {
    async fn call(
        &self,
        context: &CellContext,
        mut request: Envelope,
    ) -> Result<Envelope, CellError> {
        request.target = Some(self.env.target.clone());
        let within = Arc::new(CellContext::new(self.env.clone(), &request));
        let within = HandOnNotes { within, recorded: context };
        loop {
            let Some(lease) = self.place().await else {
                return Ok(self.unavailable("none of its processes runs"));
            };
            // The call may have waited for a process.
            request.timeout = Some(context.remaining());
            match lease
                .pooled
                .peer
                .request(frame::encode(&request), 0, Some(within.within.clone()))
                .await
            {
                Ok(reply) => {
                    // The lines that the cell printed are on the terminal before its caller goes
                    // on.
                    lease.pooled.inbound.printed().await;
                    return self.read(context, reply);
                }
                // The request was not sent, so another process may take it. This process gets no
                // further calls.
                Err(CallError::Ended { sent: false, .. }) => self.pool.leave(&lease.pooled),
                Err(gone) => return self.lost(context, gone),
            }
        }
    }

    async fn stop(&self) {
        self.stop.cancel();
        let limit = Instant::now() + self.stop_limit;
        let mut supervisor = self.supervisor.lock().await;
        // Processes that still run then are killed when this is dropped.
        let _ = timeout_at(limit, async { while supervisor.join_next().await.is_some() {} }).await;
        supervisor.abort_all();
    }
}

impl ProcessCell {
    async fn place(&self) -> Option<Lease> {
        match self.pool.enter() {
            Entry::Now(lease) => Some(lease),
            Entry::Wait(place) => place.await.ok(),
            Entry::Nobody => None,
        }
    }

    fn unavailable(&self, reason: &str) -> Envelope {
        Envelope::error(cbs::BusError::unavailable(&self.env.target, reason))
    }

    /// Reads a reply as it came: a frame, or plain.
    fn read(&self, context: &CellContext, bytes: Bytes) -> Result<Envelope, CellError> {
        let reply =
            if frame::is_frame(&bytes) { frame::decode(bytes) } else { Ok(Envelope::reply(bytes)) };
        match reply {
            Ok(reply) if reply.kind == Kind::Reply => Ok(Envelope { via: Transport::Ipc, ..reply }),
            Ok(reply) if reply.kind == Kind::Error => self.failed(context, reply),
            Ok(_) => Err(fault(context, "its process sent neither a reply nor an error")),
            Err(error) => {
                Err(fault(context, &format!("its process sent what is no reply: {error}")))
            }
        }
    }

    fn failed(&self, context: &CellContext, reply: Envelope) -> Result<Envelope, CellError> {
        let Err(error) = reply.into_result() else {
            return Err(fault(context, "its process sent an error reply without an error"));
        };
        if *error.code() == Code::CellFailed {
            // Details of an error inside the cell stay in the log.
            return Err(fault(context, &error.error().message));
        }
        match error.outcome() {
            Outcome::Ran => Err(error.into_error()),
            Outcome::NotRun | Outcome::Unknown => Ok(Envelope::error(error)),
        }
    }

    fn lost(&self, context: &CellContext, gone: CallError) -> Result<Envelope, CellError> {
        let target = &self.env.target;
        match gone {
            CallError::TooLarge { bytes, limit } => {
                Ok(Envelope::error(cbs::BusError::too_large(target, bytes, limit)))
            }
            CallError::Full { .. } => Ok(Envelope::error(cbs::BusError::overloaded(target))),
            gone => Err(fault(context, &format!("its process broke off: {gone}"))),
        }
    }
}

/// The context under which a process makes its part of a call. However the call ends, the notes
/// made in it until then go to the context that is recorded.
struct HandOnNotes<'a> {
    within: Arc<CellContext>,
    recorded: &'a CellContext,
}

impl Drop for HandOnNotes<'_> {
    fn drop(&mut self) {
        sidecar::hand_on_notes(&self.within, self.recorded);
    }
}

/// Logs the reason, and returns an error that refers the caller to the log.
#[cold]
fn fault(context: &CellContext, reason: &str) -> CellError {
    context.log().error(format_args!("the call failed: {reason}"));
    CellError::cell_failed(context.id())
}
