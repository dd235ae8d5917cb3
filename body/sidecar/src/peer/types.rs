//! What the two sides agree on, and what one hears of the other.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cbs::{BoxFuture, CellContext};

use super::{Hold, Peer};
use crate::proto;

/// Which end of the protocol a [`Peer`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The body: it sends pings and drain, and takes prints, questions and log lines.
    Body,
    /// The process that serves the cell.
    Sidecar,
}

/// What the two sides agreed on in hello and welcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which end this is.
    pub side: Role,
    /// The largest frame that the other side reads, in bytes.
    pub frame_bytes_max: usize,
    /// How many bytes the other side may send before this one gives it more; 0: no limit.
    pub credit_granted: u64,
    /// How many bytes this side may send before it is given more; 0: no limit.
    pub credit_held: u64,
    /// How many requests of the other side run here at once; what is beyond is answered with
    /// `overloaded`. 0: no limit.
    pub accepted_max: usize,
    /// How many requests of this side may be unanswered at once; others wait. 0: no limit.
    pub sent_max: usize,
}

/// What takes that which the other side says. Its methods run on the [`Engine`](crate::Engine)'s task and must not block.
pub trait Inbound: Send + Sync + 'static {
    /// Answers a request of the other side with an envelope as bytes (framed, or plain: a reply's payload).
    ///
    /// The future is polled once in place, and then with the others of this connection on the
    /// engine's task. It is dropped when the other side cancels the request (the engine answers
    /// in its stead) and when the connection ends. It must not panic.
    ///
    /// `context` is the one that this side's request was sent with which `request.within` names,
    /// while that has no reply.
    fn request(
        &self,
        peer: &Arc<Peer>,
        request: proto::Request,
        context: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes>;

    /// Answers a question to the person at the body's program with a JSON text, or `null`: as a
    /// request is answered. Only the body is asked.
    fn ask(&self, peer: &Arc<Peer>, ask: proto::Ask, context: Option<Arc<CellContext>>) -> BoxFuture<'static, Bytes>;

    /// Hears everything else. The other side gets its credit back when `hold` is dropped: keep
    /// it until a line is written, and who prints faster than that has to wait.
    fn notify(&self, peer: &Arc<Peer>, notice: Notice, hold: Hold);
}

/// What the other side said that needs no answer.
#[non_exhaustive]
pub enum Notice {
    /// The sidecar's start hooks are done. Once.
    Ready,
    /// A line for the standard output of the body's program.
    Print(proto::Print, Option<Arc<CellContext>>),
    /// A line for the body's log.
    Log(proto::Log, Option<Arc<CellContext>>),
    /// What a cell's author says about the request of this context; without one it is about nothing any more.
    Note(proto::Note, Option<Arc<CellContext>>),
    /// The body asks whether the sidecar is well: answer with [`Peer::pong`], at once.
    Ping(proto::Ping),
    /// The sidecar is.
    Pong(proto::Pong),
    /// No more requests will come; the body waits so long for goodbye.
    Drain(Duration),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// This side said goodbye, or its engine was dropped.
    Ours(String),
    /// The other side said goodbye, for this reason; empty after drain.
    Goodbye(String),
    /// The other side closed the socket without a word: its process ended.
    Closed,
    /// The other side broke the protocol, and was told so.
    Protocol(String),
    /// The stream failed.
    Io(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(reason) | Self::Goodbye(reason) if reason.is_empty() => f.write_str("it was closed"),
            Self::Ours(reason) => write!(f, "it was closed: {reason}"),
            Self::Goodbye(reason) => write!(f, "the other side said goodbye: {reason}"),
            Self::Closed => f.write_str("the other side closed it without a word"),
            Self::Protocol(reason) => write!(f, "the other side broke the protocol: {reason}"),
            Self::Io(reason) => f.write_str(reason),
        }
    }
}

/// Why a request got no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The connection has ended.
    #[error("the connection has ended: {end}")]
    Ended {
        /// Why.
        end: End,
        /// Whether the request had been sent: then nobody knows whether it ran.
        sent: bool,
    },
    /// The frame would be larger than the other side reads. It was not sent.
    #[error("a frame of {bytes} bytes, the other side reads {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// What the other side reads.
        limit: usize,
    },
    /// As many frames as may wait for credit wait already. It was not sent.
    #[error("{waiting} frames wait for the other side already")]
    Full {
        /// How many wait.
        waiting: usize,
    },
}

/// Requests of this side that were given up and not answered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abandoned {
    /// How many.
    pub count: usize,
    /// Since when the oldest of them has been given up.
    pub since: Option<Instant>,
}
