//! One end of the protocol, the same for either side.

mod backlog;
mod call;
mod credit;
mod engine;
mod errors;
mod state;
mod types;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cbs::CellContext;
use futures::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
};

use self::{call::Want, state::State};
pub use self::{
    call::{Call, Sent},
    engine::Engine,
    types::{Abandoned, CallError, End, Inbound, Notice, Role, Settings},
};
use crate::{
    proto,
    wire::{Frames, Kind},
};

/// One end of the protocol: a handle for any task. Its [`Engine`] does the work.
pub struct Peer {
    state: Mutex<State>,
    /// Waker of the engine, for when there is a frame in the outbox, or the engine must end.
    engine: AtomicWaker,
    /// Number of requests of the other side that run here.
    accepted: AtomicUsize,
    idle: Notify,
}

impl Peer {
    /// Takes over a stream after the handshake. The caller must run the engine in a task.
    pub fn new<S>(
        frames: Frames<S>,
        settings: Settings,
        inbound: Arc<dyn Inbound>,
    ) -> (Arc<Self>, Engine<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Arc::new(Self {
            state: Mutex::new(State::new(settings.clone())),
            engine: AtomicWaker::new(),
            accepted: AtomicUsize::new(0),
            idle: Notify::new(),
        });
        (peer.clone(), Engine::new(frames, peer, settings, inbound))
    }

    /// Sends a request, an envelope as bytes, and waits for its reply, the same (framed or plain).
    /// The request is sent when the future is first polled and there is credit for it. Dropping the
    /// future takes the request back, or cancels it. The caller sets the time limit by dropping it.
    ///
    /// `within` is the number of the other side's request whose handling sends this one; 0: none.
    /// [`Inbound`] gets `context` with everything that the other side sends while it handles this
    /// request.
    pub fn request(
        self: &Arc<Self>,
        envelope: Bytes,
        within: u64,
        context: Option<Arc<CellContext>>,
    ) -> Call {
        Call::new(self.clone(), Want::Reply { envelope, within, context })
    }

    /// Asks the person at the body's program. The reply is a JSON text or `null`. Only for
    /// sidecars.
    pub fn ask(self: &Arc<Self>, question: String, within: u64) -> Call {
        Call::new(self.clone(), Want::Answer { question, within })
    }

    /// Sends a line for the standard output of the body's program. It is done when the line is on
    /// its way. Dropping the future takes the line back while it waits for credit. Only for
    /// sidecars.
    pub fn print(self: &Arc<Self>, line: String, within: u64) -> Sent {
        Sent::new(self.clone(), proto::Print { line, within })
    }

    /// Sends a line for the body's log. Never waits: a line that does not fit is dropped, and a
    /// later line reports the number of dropped lines. Only for sidecars.
    pub fn log(&self, line: proto::Log) {
        self.state().log(line);
        self.engine.wake();
    }

    /// Sends a note about a request. Never waits: returns `false` if the note does not fit and is
    /// dropped. Only for sidecars, and only to a body whose welcome has `notes_max`.
    pub fn note(&self, note: proto::Note) -> bool {
        let taken = self.state().note(note);
        self.engine.wake();
        taken
    }

    /// Reports that requests may come. Only for sidecars.
    pub fn ready(&self) {
        self.notify(&Kind::Ready(proto::Ready {}));
    }

    /// Sends a ping, to learn whether the sidecar is well. Only for bodies.
    pub fn ping(&self, nonce: u64) {
        self.notify(&Kind::Ping(proto::Ping { nonce }));
    }

    /// Answers a ping. Only for sidecars.
    pub fn pong(&self, pong: proto::Pong) {
        self.notify(&Kind::Pong(pong));
    }

    /// Reports to the sidecar that no more requests will come, and the time that it has for its
    /// goodbye. Only for bodies.
    pub fn drain(&self, timeout: Duration) {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.notify(&Kind::Drain(proto::Drain { timeout_ms }));
    }

    /// Sends the replies and lines that wait, then goodbye, and ends. Frames that are not sent
    /// within 2 s are dropped. An empty reason is for an orderly end, after drain. Only the first
    /// goodbye counts.
    pub fn goodbye(&self, reason: impl Into<String>) {
        self.state().goodbye.get_or_insert_with(|| reason.into());
        self.engine.wake();
    }

    /// Returns the reason of the connection's end; `None` while it has not ended.
    pub fn end(&self) -> Option<End> {
        self.state().end().cloned()
    }

    /// Returns the number of requests of this side that have been sent and not answered.
    pub fn unanswered(&self) -> usize {
        self.state().unanswered()
    }

    /// Returns the number of bytes that the other side still takes now; `None`: it sets no limit.
    pub fn credit(&self) -> Option<u64> {
        self.state().credit_left()
    }

    /// Returns the number of requests of the other side that run here.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }

    /// Returns the requests of this side that were abandoned and still have no reply. A process
    /// that does not answer them is stuck.
    pub fn abandoned(&self) -> Abandoned {
        self.state().abandoned()
    }

    /// Waits until no request of the other side runs here.
    pub async fn idle(&self) {
        loop {
            let changed = self.idle.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.accepted() == 0 {
                return;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self, kind: &Kind) {
        self.state().notify(kind);
        self.engine.wake();
    }

    fn set_accepted(&self, accepted: usize) {
        self.accepted.store(accepted, Ordering::Release);
        if accepted == 0 {
            self.idle.notify_waiters();
        }
    }

    fn give_back(&self, cost: u64) {
        let gives_credit = self.state().give_back(cost);
        if gives_credit {
            self.engine.wake();
        }
    }
}

/// Guard that gives the other side its credit for a frame back when it is dropped.
pub struct Hold {
    peer: Arc<Peer>,
    cost: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.peer.give_back(self.cost);
    }
}
