//! Writing: from the outbox to the socket, as much as the socket takes.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::Engine;

/// Size of an outbox, in bytes, beyond which its memory is not kept.
const OUTBOX_BYTES_KEPT: usize = 256 * 1024;

/// The bytes that are being written.
#[derive(Default)]
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
    written: usize,
    pub(super) unflushed: bool,
    pub(super) broken: Option<String>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Engine<S> {
    /// Writes the bytes that are there. Returns true if any were written.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while self.out.broken.is_none() {
            if self.out.bytes.is_empty() && !self.fill() {
                return self.flush(cx) || progress;
            }
            let rest = self.out.bytes.get(self.out.written..).unwrap_or_default();
            match Pin::new(&mut self.frames.stream).poll_write(cx, rest) {
                Poll::Pending => return progress,
                Poll::Ready(Ok(0)) => {
                    self.out.broken = Some("the stream takes no more bytes".to_owned());
                }
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

    /// Takes the outbox, and fills it with the frames that waited for space in it. Returns true if
    /// there is anything to write.
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
}
