//! The work of a [`Peer`], on one task: read, answer, write.
//!
//! One task does all three. So a request that a cell answers at once is read, answered and written
//! without waking another task, and the answers since the last write go out in one.

mod handle;
mod out;
mod shutdown;

use std::{
    collections::HashMap,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cbs::BoxFuture;
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable},
    stream::FuturesUnordered,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use self::{out::Out, shutdown::Shutdown};
use super::{
    Peer,
    errors::given_up,
    types::{End, Inbound, Settings},
};
use crate::wire::{Error, Frames, Received};

/// Number of rounds after which other tasks have their turn.
const ROUNDS_MAX: u32 = 16;
/// Number of frames after which the answers are written.
const FRAMES_BEFORE_WRITE: u32 = 64;
/// Time after which the answers are written, if it comes first: the first answer does not wait for
/// the slowest.
const TIME_BEFORE_WRITE: Duration = Duration::from_micros(200);
/// Limit of the requests that run here, if no limit was set.
const ACCEPTED_MAX: usize = 65_536;

/// The engine of a [`Peer`]: it reads, answers and writes on one task. It ends when the connection
/// does, and returns the reason. Dropping it ends the connection at once. Either way every request
/// that is under way fails with the reason.
#[must_use = "nothing happens before it is polled"]
pub struct Engine<S> {
    frames: Frames<S>,
    peer: Arc<Peer>,
    settings: Settings,
    inbound: Arc<dyn Inbound>,
    running: FuturesUnordered<Running>,
    cancel: HashMap<u64, AbortHandle>,
    last_id: u64,
    ready: bool,
    out: Out,
    shutdown: Option<Shutdown>,
}

/// A request of the other side that runs here.
struct Running {
    id: u64,
    work: Abortable<BoxFuture<'static, Bytes>>,
}

impl Future for Running {
    type Output = (u64, Bytes);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.work.poll_unpin(cx));
        Poll::Ready((self.id, answer.unwrap_or_else(|_| given_up())))
    }
}

/// Reason why the engine stops reading.
enum Stop {
    /// The other side broke the protocol.
    Breach(String),
    /// The connection has ended.
    End(End),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Engine<S> {
    pub(super) fn new(
        frames: Frames<S>,
        peer: Arc<Peer>,
        settings: Settings,
        inbound: Arc<dyn Inbound>,
    ) -> Self {
        Self {
            frames,
            peer,
            settings,
            inbound,
            running: FuturesUnordered::new(),
            cancel: HashMap::new(),
            last_id: 0,
            ready: false,
            out: Out::default(),
            shutdown: None,
        }
    }

    /// Reads and handles frames until there are no more, or it is time to write. Returns true if
    /// there may be more.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let mut frames = 0;
        let mut began = None;
        loop {
            if let Some(Received { kind, cost }) =
                self.frames.decoder.next().map_err(|error| Stop::Breach(error.to_string()))?
            {
                self.handle(kind, cost, cx)?;
                frames += 1;
                let began = began.get_or_insert_with(Instant::now);
                if frames >= FRAMES_BEFORE_WRITE || began.elapsed() > TIME_BEFORE_WRITE {
                    return Ok(true);
                }
                continue;
            }
            // Frames that came together are answered first. Only then are more read.
            if frames > 0 {
                return Ok(true);
            }
            let Frames { stream, decoder } = &mut self.frames;
            match pin!(stream.read_buf(decoder.buffer())).poll(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(error)) => {
                    return Err(Stop::End(End::Io(Error::Io(error).to_string())));
                }
                Poll::Ready(Ok(0)) => {
                    decoder.end().map_err(|error| Stop::End(End::Io(error.to_string())))?;
                    return Err(Stop::End(End::Closed));
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    /// Continues the requests that run. Returns true if any was answered.
    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        let mut answered = false;
        while let Poll::Ready(Some((id, answer))) = self.running.poll_next_unpin(cx) {
            self.cancel.remove(&id);
            self.reply(id, answer);
            // This comes after the reply: a task that waits for idle then sends goodbye, which must
            // come behind it.
            self.peer.set_accepted(self.cancel.len());
            answered = true;
        }
        answered
    }

    fn finish(&mut self, end: &End) {
        self.peer.state().finish(end);
        self.running = FuturesUnordered::new();
        self.cancel.clear();
        self.peer.set_accepted(0);
    }

    /// Runs one round. Returns true if there may be more to do, and the end as an error.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let is_deaf =
            self.shutdown.as_ref().is_some_and(|shutdown| matches!(shutdown.end, End::Protocol(_)));
        let read = if is_deaf { Ok(false) } else { self.read(cx) };
        let read = match read {
            Ok(more) => more,
            Err(Stop::Breach(reason)) => {
                self.breached(reason);
                true
            }
            // A side that has sent goodbye itself expects that the other side closes.
            Err(Stop::End(End::Closed)) if self.shutdown.is_some() => {
                return Err(self.shutdown.take().map_or(End::Closed, |shutdown| shutdown.end));
            }
            Err(Stop::End(end)) => return Err(end),
        };
        let worked = self.work(cx);
        if self.peer.state().is_flooded() {
            return Err(End::Protocol("it sends and does not read".to_owned()));
        }
        let shutdown = self.part(cx).is_some();
        let wrote = self.write(cx);
        match self.part(cx) {
            Some(end) => Err(end),
            None => Ok(read || worked || wrote || shutdown),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Future for Engine<S> {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let engine = self.get_mut();
        // The waker is registered before any check, so that no later change is missed.
        engine.peer.engine.register(cx.waker());
        for _ in 0..ROUNDS_MAX {
            match engine.round(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(end) => {
                    engine.finish(&end);
                    return Poll::Ready(end);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S> Drop for Engine<S> {
    fn drop(&mut self) {
        self.peer.state().finish(&End::Ours("its engine was dropped".to_owned()));
        self.peer.set_accepted(0);
    }
}
