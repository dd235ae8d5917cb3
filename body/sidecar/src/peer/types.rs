//! The settings that the two sides agree on, and the notices and errors of a connection.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cbs::{BoxFuture, CellContext};

use super::{Hold, Peer};
use crate::proto;

/// Kind of end of the protocol: body or sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The body: it sends pings and drain, and takes prints, questions and log lines.
    Body,
    /// The process that serves the cell.
    Sidecar,
}

/// Settings that the two sides agreed on in hello and welcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The end of this side.
    pub side: Role,
    /// Limit of a frame that the other side reads, in bytes.
    pub frame_bytes_max: usize,
    /// Limit of the bytes that the other side may send before this one gives it more; 0: no limit.
    pub credit_granted: u64,
    /// Limit of the bytes that this side may send before it is given more; 0: no limit.
    pub credit_held: u64,
    /// Limit of the other side's requests that run here at once. Others are answered with
    /// `overloaded`. 0: no limit.
    pub accepted_max: usize,
    /// Limit of this side's requests that may be unanswered at once. Others wait. 0: no limit.
    pub sent_max: usize,
}

/// Receiver of the other side's frames. Its methods run on the [`Engine`](crate::Engine)'s task and
/// must not block.
pub trait Inbound: Send + Sync + 'static {
    /// Answers a request of the other side with an envelope as bytes (framed, or plain: a reply's
    /// payload).
    ///
    /// The future is polled once immediately, and then with the others of this connection on the
    /// engine's task. It is dropped when the other side cancels the request (the engine then
    /// answers) and when the connection ends. It must not panic.
    ///
    /// `request.within` names a request of this side. `context` is the context that it was sent
    /// with, while it has no reply.
    fn request(
        &self,
        peer: &Arc<Peer>,
        request: proto::Request,
        context: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes>;

    /// Answers a question to the person at the body's program with a JSON text, or `null`, in the
    /// same way as a request. Only bodies receive questions.
    fn ask(
        &self,
        peer: &Arc<Peer>,
        ask: proto::Ask,
        context: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes>;

    /// Receives every other frame. The other side gets its credit back when `hold` is dropped. Keep
    /// it until a line is written, so that a process which prints faster has to wait.
    fn notify(&self, peer: &Arc<Peer>, notice: Notice, hold: Hold);
}

/// A frame of the other side that needs no answer.
#[non_exhaustive]
pub enum Notice {
    /// The sidecar's start hooks are done. It comes once.
    Ready,
    /// A line for the standard output of the body's program.
    Print(proto::Print, Option<Arc<CellContext>>),
    /// A line for the body's log.
    Log(proto::Log, Option<Arc<CellContext>>),
    /// A note of a cell's author about the request of this context. Without a context its request
    /// has ended.
    Note(proto::Note, Option<Arc<CellContext>>),
    /// The body checks whether the sidecar is well. Answer at once with [`Peer::pong`].
    Ping(proto::Ping),
    /// The sidecar answers a ping.
    Pong(proto::Pong),
    /// No more requests will come. The body waits for goodbye for this time.
    Drain(Duration),
}

/// Reason why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// This side said goodbye, or its engine was dropped.
    Ours(String),
    /// The other side said goodbye, for this reason. It is empty after drain.
    Goodbye(String),
    /// The other side closed the socket without a goodbye: its process ended.
    Closed,
    /// The other side broke the protocol, and got the reason.
    Protocol(String),
    /// The stream failed.
    Io(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(reason) | Self::Goodbye(reason) if reason.is_empty() => {
                f.write_str("it was closed")
            }
            Self::Ours(reason) => write!(f, "it was closed: {reason}"),
            Self::Goodbye(reason) => write!(f, "the other side said goodbye: {reason}"),
            Self::Closed => f.write_str("the other side closed the connection without a reason"),
            Self::Protocol(reason) => write!(f, "the other side broke the protocol: {reason}"),
            Self::Io(reason) => f.write_str(reason),
        }
    }
}

/// Reason why a request got no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The connection has ended.
    #[error("the connection has ended: {end}")]
    Ended {
        /// Reason of the end.
        end: End,
        /// Set if the request had been sent. Then it may have run.
        sent: bool,
    },
    /// The frame is larger than the other side reads. It was not sent.
    #[error("a frame of {bytes} bytes, the other side reads {limit}")]
    TooLarge {
        /// Length of the frame.
        bytes: usize,
        /// Limit of the other side.
        limit: usize,
    },
    /// The limit of the frames that wait for credit is reached. The frame was not sent.
    #[error("{waiting} frames wait for the other side already")]
    Full {
        /// Number of frames that wait.
        waiting: usize,
    },
}

/// Requests of this side that were abandoned and not answered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abandoned {
    /// Number of these requests.
    pub count: usize,
    /// Time at which the oldest of them was abandoned.
    pub since: Option<Instant>,
}
