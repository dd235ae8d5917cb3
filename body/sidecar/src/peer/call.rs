//! The requests and lines of this side that are under way.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use cbs::CellContext;
use tokio::sync::oneshot;

use super::{
    Peer,
    state::Answer,
    types::{CallError, End},
};
use crate::{proto, wire::Kind};

/// Kind of request to the other side.
pub(super) enum Want {
    Reply { envelope: Bytes, within: u64, context: Option<Arc<CellContext>> },
    Answer { question: String, within: u64 },
}

/// A request under way; see [`Peer::request`]. It must not be polled again after it is done.
#[must_use = "nothing is sent before it is awaited"]
pub struct Call {
    peer: Arc<Peer>,
    step: Step,
}

enum Step {
    Wanted(Want),
    Waiting(u64, oneshot::Receiver<Answer>),
    Done,
}

impl Call {
    pub(super) fn new(peer: Arc<Peer>, want: Want) -> Self {
        Self { peer, step: Step::Wanted(want) }
    }

    fn begin(&self, want: Want) -> Result<Step, CallError> {
        let (id, reply) = match want {
            Want::Reply { envelope, within, context } => self
                .peer
                .state()
                .request(context, |id| Kind::Request(proto::Request { id, envelope, within })),
            Want::Answer { question, within } => {
                self.peer.state().request(None, |id| Kind::Ask(proto::Ask { id, question, within }))
            }
        }?;
        self.peer.engine.wake();
        Ok(Step::Waiting(id, reply))
    }
}

impl Future for Call {
    type Output = Result<Bytes, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Step::Wanted(_) = self.step {
            let Step::Wanted(want) = mem::replace(&mut self.step, Step::Done) else {
                return Poll::Pending;
            };
            self.step = self.begin(want)?;
        }
        let Step::Waiting(_, reply) = &mut self.step else { return Poll::Pending };
        let answer = ready!(Pin::new(reply).poll(cx));
        self.step = Step::Done;
        Poll::Ready(answer.unwrap_or_else(|_| Err(lost(&self.peer))))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Step::Waiting(id, _) = self.step {
            self.peer.state().abandon(id);
            self.peer.engine.wake();
        }
    }
}

/// A line under way; see [`Peer::print`]. It must not be polled again after it is done.
#[must_use = "nothing is sent before it is awaited"]
pub struct Sent {
    peer: Arc<Peer>,
    line: Option<proto::Print>,
    sent: Option<oneshot::Receiver<Result<(), CallError>>>,
}

impl Sent {
    pub(super) fn new(peer: Arc<Peer>, line: proto::Print) -> Self {
        Self { peer, line: Some(line), sent: None }
    }
}

impl Future for Sent {
    type Output = Result<(), CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(line) = self.line.take() {
            let sent = self.peer.state().send(Kind::Print(line))?;
            self.peer.engine.wake();
            self.sent = sent;
        }
        let Some(sent) = &mut self.sent else { return Poll::Ready(Ok(())) };
        let sent = ready!(Pin::new(sent).poll(cx));
        Poll::Ready(sent.unwrap_or_else(|_| Err(lost(&self.peer))))
    }
}

/// Returns the error for a channel that was closed without an answer. This cannot happen while the
/// engine runs.
#[cold]
fn lost(peer: &Peer) -> CallError {
    let end = peer.end().unwrap_or_else(|| End::Ours(String::new()));
    CallError::Ended { end, sent: true }
}
