//! One end of the protocol, the same for either side.

mod backlog;
mod call;
mod credit;
mod engine;
mod state;
mod types;
mod words;

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

/// One end of the protocol: a handle that any task may use. Its work is done by its [`Engine`].
pub struct Peer {
    state: Mutex<State>,
    /// Wakes the engine: something stands in the outbox, or it shall end.
    engine: AtomicWaker,
    /// Requests of the other side that run here.
    accepted: AtomicUsize,
    idle: Notify,
}

impl Peer {
    /// Takes over a stream after the handshake. The engine must be run: give it to a task.
    pub fn new<S>(frames: Frames<S>, settings: Settings, inbound: Arc<dyn Inbound>) -> (Arc<Self>, Engine<S>)
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

    /// Sends a request, an envelope as bytes, and waits for its reply, the same (framed or
    /// plain). It is sent when it is first polled, as soon as there is credit for it; dropping
    /// the future takes it back, or cancels it. The caller sets the time limit by dropping it.
    ///
    /// `within` is the number of the other side's request whose handling sends this one; 0: none.
    /// `context` is handed to [`Inbound`] with what the other side sends while it handles this one.
    pub fn request(self: &Arc<Self>, envelope: Bytes, within: u64, context: Option<Arc<CellContext>>) -> Call {
        Call::new(self.clone(), Want::Reply { envelope, within, context })
    }

    /// Asks the person at the body's program; the reply is a JSON text or `null`. Sidecars only.
    pub fn ask(self: &Arc<Self>, question: String, within: u64) -> Call {
        Call::new(self.clone(), Want::Answer { question, within })
    }

    /// Sends a line for the standard output of the body's program; done when it is on its
    /// way. Dropping the future takes it back while it waits for credit. Sidecars only.
    pub fn print(self: &Arc<Self>, line: String, within: u64) -> Sent {
        Sent::new(self.clone(), proto::Print { line, within })
    }

    /// Sends a line for the body's log. Never waits: lines for which there is no room are dropped, and
    /// their number is told in a later line. Sidecars only.
    pub fn log(&self, line: proto::Log) {
        self.state().log(line);
        self.engine.wake();
    }

    /// Sends what is said about a request. Never waits: `false` where there is no room for it, and it is dropped.
    /// Sidecars only, and only to a body whose welcome has `notes_max`.
    pub fn note(&self, note: proto::Note) -> bool {
        let taken = self.state().note(note);
        self.engine.wake();
        taken
    }

    /// Says that requests may come. Sidecars only.
    pub fn ready(&self) {
        self.notify(&Kind::Ready(proto::Ready {}));
    }

    /// Asks whether the sidecar is well. Body only.
    pub fn ping(&self, nonce: u64) {
        self.notify(&Kind::Ping(proto::Ping { nonce }));
    }

    /// Answers a ping. Sidecars only.
    pub fn pong(&self, pong: proto::Pong) {
        self.notify(&Kind::Pong(pong));
    }

    /// Tells the sidecar that no more requests will come, and how long its goodbye is waited for. Body only.
    pub fn drain(&self, timeout: Duration) {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.notify(&Kind::Drain(proto::Drain { timeout_ms }));
    }

    /// Sends the replies and lines that wait to be sent, then goodbye, and ends; what is not
    /// sent within 2 s is not sent. An empty reason is the orderly one, after drain. Only the
    /// first goodbye counts.
    pub fn goodbye(&self, reason: impl Into<String>) {
        self.state().goodbye.get_or_insert_with(|| reason.into());
        self.engine.wake();
    }

    /// Why the connection ended; `None` while it has not.
    pub fn end(&self) -> Option<End> {
        self.state().end().cloned()
    }

    /// How many requests of this side have been sent and not answered.
    pub fn unanswered(&self) -> usize {
        self.state().unanswered()
    }

    /// How many more bytes the other side takes now; `None`: it sets no limit.
    pub fn credit(&self) -> Option<u64> {
        self.state().credit_left()
    }

    /// How many requests of the other side run here.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }

    /// Which of this side's requests were given up and still have no reply: a process that
    /// leaves them so is stuck.
    pub fn abandoned(&self) -> Abandoned {
        self.state().abandoned()
    }

    /// Done when no request of the other side runs here.
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
        let notice = self.state().give_back(cost);
        if notice {
            self.engine.wake();
        }
    }
}

/// Gives the other side credit back for a frame when it is dropped.
pub struct Hold {
    peer: Arc<Peer>,
    cost: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.peer.give_back(self.cost);
    }
}
