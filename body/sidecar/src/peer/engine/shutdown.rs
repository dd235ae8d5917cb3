//! The end of a connection by this side: a goodbye, and the limit of its time.

use std::{pin::Pin, task::Context, time::Duration};

use futures::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Sleep,
};

use super::Engine;
use crate::peer::types::End;

/// Limit of the time for goodbye, with all frames before it.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// State of a side that is about to end.
pub(super) struct Shutdown {
    pub(super) end: End,
    /// Set after goodbye was put into the outbox.
    said: bool,
    limit: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Engine<S> {
    /// Checks whether this side is about to end. Returns the end when it is reached.
    pub(super) fn part(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if self.shutdown.is_none() {
            let reason = self.peer.state().goodbye.clone();
            let end = match (reason, &self.out.broken) {
                (Some(reason), _) => End::Ours(reason),
                // The other side's goodbye can perhaps still be read.
                (None, Some(reason)) => End::Io(format!("the stream failed: {reason}")),
                (None, None) => return None,
            };
            self.set_parting(end, false);
        }
        let shutdown = self.shutdown.as_mut()?;
        let mut state = self.peer.state();
        if let (End::Ours(reason), false) = (&shutdown.end, shutdown.said)
            && state.may_part()
        {
            state.part(reason.clone());
            shutdown.said = true;
        }
        let is_written =
            state.outbox.is_empty() && self.out.bytes.is_empty() && !self.out.unflushed;
        drop(state);
        let is_over = (shutdown.said && (is_written || self.out.broken.is_some()))
            || shutdown.limit.poll_unpin(cx).is_ready();
        is_over.then(|| shutdown.end.clone())
    }

    fn set_parting(&mut self, end: End, said: bool) {
        self.shutdown =
            Some(Shutdown { end, said, limit: Box::pin(tokio::time::sleep(SHUTDOWN_MAX)) });
    }

    /// Sends the other side the reason, and reads no more from it.
    pub(super) fn breached(&mut self, reason: String) {
        let end = End::Protocol(reason.clone());
        let mut state = self.peer.state();
        state.part(reason);
        // No request waits until the goodbye has been read: it may never be.
        state.fail(&end);
        drop(state);
        self.set_parting(end, true);
    }
}
