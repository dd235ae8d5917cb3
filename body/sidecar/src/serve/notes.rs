//! The notes about a call through its context, on their way to the body.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

use cbs::CellContext;

use crate::{Peer, proto};

/// The notes of one request, sent as they are made, so that a cancelled call has sent its notes up
/// to then.
pub(super) struct Outgoing {
    peer: Arc<Peer>,
    /// The request's number on this connection.
    within: u64,
    /// Number of notes that the body still takes.
    left: u32,
    /// Number of notes that were not sent, and have not been reported yet.
    dropped: u32,
}

impl Outgoing {
    pub(super) fn new(peer: Arc<Peer>, within: u64, left: u32) -> Self {
        Self { peer, within, left, dropped: 0 }
    }

    /// Does the work. Sends the notes of its context each time that it waits, and when it is done.
    /// At the end it reports the number of notes that were not sent, also for cancelled work.
    pub(super) async fn sent<T>(
        mut self,
        context: &CellContext,
        work: impl Future<Output = T>,
    ) -> T {
        let takes = self.left > 0;
        let mut work = pin!(work);
        poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            if takes {
                self.send(context);
            }
            polled
        })
        .await
    }

    fn send(&mut self, context: &CellContext) {
        let (notes, dropped) = context.span_entries().take();
        self.dropped = self.dropped.saturating_add(dropped);
        for note in notes {
            let taken = self.left > 0 && self.peer.note(proto::Note::of(self.within, &note));
            if taken {
                self.left -= 1;
            } else {
                self.dropped = self.dropped.saturating_add(1);
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if self.dropped > 0 {
            // If this note does not fit either, the body's span lacks the number.
            self.peer.note(proto::Note {
                within: self.within,
                dropped: self.dropped,
                ..proto::Note::default()
            });
        }
    }
}
