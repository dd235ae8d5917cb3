//! The work of a [`Peer`], on one task: read, answer, write.
//!
//! One task does all three, so that a request that a cell answers at once is read, answered and
//! written without waking anybody; and what was answered since the last write goes out in one.

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
    types::{End, Inbound, Settings},
    words::given_up,
};
use crate::wire::{Error, Frames, Received};

/// After so many rounds other tasks have their turn.
const ROUNDS_MAX: u32 = 16;
/// What was answered is written after so many frames, and
const FRAMES_BEFORE_WRITE: u32 = 64;
/// after so long, whichever is first: the first answer does not wait for the slowest.
const TIME_BEFORE_WRITE: Duration = Duration::from_micros(200);
/// Numbers that no limit was set for.
const ACCEPTED_MAX: usize = 65_536;

/// Reads, answers and writes: all the work of a [`Peer`], on one task. It ends when the
/// connection does, and tells why; dropping it ends the connection at once. Either way every
/// request that is under way fails with the reason.
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

/// Why the engine stops reading.
enum Stop {
    /// The other side broke the protocol.
    Breach(String),
    /// The connection has ended.
    End(End),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Engine<S> {
    pub(super) fn new(frames: Frames<S>, peer: Arc<Peer>, settings: Settings, inbound: Arc<dyn Inbound>) -> Self {
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

    /// Reads and handles frames until there are no more, or it is time to write. Whether there may be more.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let (mut frames, mut began) = (0, None);
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
            // What came at once is answered at once: only then is more read.
            if frames > 0 {
                return Ok(true);
            }
            let Frames { stream, decoder } = &mut self.frames;
            match pin!(stream.read_buf(decoder.room())).poll(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(error)) => return Err(Stop::End(End::Io(Error::Io(error).to_string()))),
                Poll::Ready(Ok(0)) => {
                    decoder.end().map_err(|error| Stop::End(End::Io(error.to_string())))?;
                    return Err(Stop::End(End::Closed));
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    /// Goes on with what runs. Whether anything was answered.
    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        let mut answered = false;
        while let Poll::Ready(Some((id, answer))) = self.running.poll_next_unpin(cx) {
            self.cancel.remove(&id);
            self.reply(id, answer);
            // After the reply: whoever waits for idle then says goodbye, and that comes behind it.
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

    /// One round. The end, or whether there may be more to do.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let is_deaf = self.shutdown.as_ref().is_some_and(|shutdown| matches!(shutdown.end, End::Protocol(_)));
        let read = if is_deaf { Ok(false) } else { self.read(cx) };
        let read = match read {
            Ok(more) => more,
            Err(Stop::Breach(reason)) => {
                self.breached(reason);
                true
            }
            // Who has said goodbye itself is not surprised that the other side closes.
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
        // Before anything is looked at: what comes later wakes.
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
