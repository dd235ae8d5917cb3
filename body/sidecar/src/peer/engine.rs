//! The work of a [`Peer`], on one task: read, answer, write.
//!
//! One task does all three, so that a request that a cell answers at once is read, answered and
//! written without waking anybody; and what was answered since the last write goes out in one.

mod handle;

use std::{
    collections::HashMap,
    future::Future,
    mem,
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
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    time::Sleep,
};

use super::{
    Peer,
    terms::{End, Inbound, Settings},
    words::given_up,
};
use crate::wire::{Error, Frames, Received};

/// How long goodbye may take, with all that goes before it.
const PARTING_MAX: Duration = Duration::from_secs(2);
/// After so many rounds other tasks have their turn.
const ROUNDS_MAX: u32 = 16;
/// What was answered is written after so many frames, and
const FRAMES_BEFORE_WRITE: u32 = 64;
/// after so long, whichever is first: the first answer does not wait for the slowest.
const TIME_BEFORE_WRITE: Duration = Duration::from_micros(200);
/// An outbox that has grown beyond this is not kept.
const OUTBOX_BYTES_KEPT: usize = 256 * 1024;
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
    parting: Option<Parting>,
}

/// What is being written.
#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    written: usize,
    unflushed: bool,
    broken: Option<String>,
}

/// This side is about to end.
struct Parting {
    end: End,
    /// Whether goodbye stands in the outbox.
    said: bool,
    limit: Pin<Box<Sleep>>,
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
            parting: None,
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

    /// Writes what is there to be written. Whether anything was.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while self.out.broken.is_none() {
            if self.out.bytes.is_empty() && !self.fill() {
                return self.flush(cx) || progress;
            }
            let rest = self.out.bytes.get(self.out.written..).unwrap_or_default();
            match Pin::new(&mut self.frames.stream).poll_write(cx, rest) {
                Poll::Pending => return progress,
                Poll::Ready(Ok(0)) => self.out.broken = Some("the stream takes no more bytes".to_owned()),
                Poll::Ready(Err(error)) => self.out.broken = Some(error.to_string()),
                Poll::Ready(Ok(count)) => {
                    progress = true;
                    self.out.unflushed = true;
                    self.out.written += count;
                    if self.out.written >= self.out.bytes.len() {
                        self.out.written = 0;
                        self.out.bytes.clear();
                        self.out.bytes.shrink_to(OUTBOX_BYTES_KEPT);
                    }
                }
            }
        }
        progress
    }

    /// Takes what is in the outbox; what waited for room there follows. Whether there was anything.
    fn fill(&mut self) -> bool {
        let mut state = self.peer.state();
        mem::swap(&mut state.outbox, &mut self.out.bytes);
        state.pump();
        !self.out.bytes.is_empty()
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.out.unflushed {
            return false;
        }
        match Pin::new(&mut self.frames.stream).poll_flush(cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => {
                self.out.unflushed = false;
                true
            }
            Poll::Ready(Err(error)) => {
                self.out.broken = Some(error.to_string());
                false
            }
        }
    }

    /// Looks whether this side is about to end, and whether it has.
    fn part(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if self.parting.is_none() {
            let reason = self.peer.state().goodbye.clone();
            let end = match (reason, &self.out.broken) {
                (Some(reason), _) => End::Ours(reason),
                // Perhaps the other side's goodbye can be read still.
                (None, Some(reason)) => End::Io(format!("the stream failed: {reason}")),
                (None, None) => return None,
            };
            self.set_parting(end, false);
        }
        let parting = self.parting.as_mut()?;
        let mut state = self.peer.state();
        if let (End::Ours(reason), false) = (&parting.end, parting.said)
            && state.may_part()
        {
            state.part(reason.clone());
            parting.said = true;
        }
        let is_written = state.outbox.is_empty() && self.out.bytes.is_empty() && !self.out.unflushed;
        drop(state);
        let is_over =
            (parting.said && (is_written || self.out.broken.is_some())) || parting.limit.poll_unpin(cx).is_ready();
        is_over.then(|| parting.end.clone())
    }

    fn set_parting(&mut self, end: End, said: bool) {
        self.parting = Some(Parting { end, said, limit: Box::pin(tokio::time::sleep(PARTING_MAX)) });
    }

    /// The other side is told what it did, and not heard any more.
    fn breached(&mut self, reason: String) {
        let mut state = self.peer.state();
        state.goodbye = Some(reason.clone());
        state.part(reason.clone());
        drop(state);
        self.set_parting(End::Protocol(reason), true);
    }

    fn finish(&mut self, end: &End) {
        self.peer.state().finish(end);
        self.running = FuturesUnordered::new();
        self.cancel.clear();
        self.peer.set_accepted(0);
    }

    /// One round. The end, or whether there may be more to do.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let is_deaf = self.parting.as_ref().is_some_and(|parting| matches!(parting.end, End::Protocol(_)));
        let read = if is_deaf { Ok(false) } else { self.read(cx) };
        let read = match read {
            Ok(more) => more,
            Err(Stop::Breach(reason)) => {
                self.breached(reason);
                true
            }
            // Who has said goodbye itself is not surprised that the other side closes.
            Err(Stop::End(End::Closed)) if self.parting.is_some() => {
                return Err(self.parting.take().map_or(End::Closed, |parting| parting.end));
            }
            Err(Stop::End(end)) => return Err(end),
        };
        let worked = self.work(cx);
        if self.peer.state().is_flooded() {
            return Err(End::Protocol("it sends and does not read".to_owned()));
        }
        let parting = self.part(cx).is_some();
        let wrote = self.write(cx);
        match self.part(cx) {
            Some(end) => Err(end),
            None => Ok(read || worked || wrote || parting),
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
