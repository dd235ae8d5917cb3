//! What is said about a call through its context, on its way to the body.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

use cbs::CellContext;

use crate::{Peer, proto};

/// The notes of one request, sent as they are made: a call that is given up has told what it could by then.
pub(super) struct Outgoing {
    peer: Arc<Peer>,
    /// The request's number on this connection.
    within: u64,
    /// How many more the body takes.
    left: u32,
    /// How many have not been sent, and not been told of.
    dropped: u32,
}

impl Outgoing {
    pub(super) fn new(peer: Arc<Peer>, within: u64, left: u32) -> Self {
        Self { peer, within, left, dropped: 0 }
    }

    /// Does the work, and sends what is said in its context each time that it waits, and when it is done. How much was not
    /// sent is told at the end, also of work that is given up.
    pub(super) async fn sent<T>(mut self, context: &CellContext, work: impl Future<Output = T>) -> T {
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
        let (notes, dropped) = context.notes().take();
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
            // Where there is no room for this either, the body's span says less than it could.
            self.peer.note(proto::Note { within: self.within, dropped: self.dropped, ..proto::Note::default() });
        }
    }
}
