//! Frames on a stream: four bytes of length, big endian, then one protobuf `Frame`.
//!
//! ```
//! use sidecar::{proto, wire::{self, Kind}};
//!
//! let sent = Kind::Ping(proto::Ping { nonce: 7 });
//! let bytes = wire::encode(sent.clone());
//! assert_eq!(&bytes[..4], [0, 0, 0, 4]);
//!
//! let mut decoder = wire::Decoder::new(wire::FRAME_BYTES_MAX);
//! decoder.push(&bytes);
//! assert_eq!(decoder.next()?.map(|received| received.kind), Some(sent));
//! # Ok::<(), wire::Error>(())
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::proto;

pub use crate::proto::frame::Kind;

/// Number of bytes that hold a frame's length.
pub const LENGTH_BYTES: usize = 4;
/// Limit of a frame that is read, in bytes, if no other was agreed. A NATS server takes messages of
/// up to 64 MiB, and its default is 1 MiB. Calls within a body may be larger.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Number of bytes that are read from the stream at once.
const READ_BYTES: usize = 64 * 1024;
/// Number of bytes of an announced frame for which memory is reserved before they come. More is
/// reserved only as they come, so that a long announcement alone costs little.
const ANNOUNCED_BYTES: usize = 1024 * 1024;

/// Reason why bytes from a stream are no frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A frame's length is beyond the limit. Its content was not read.
    #[error("a frame of {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Length of the frame, without the four bytes that hold it.
        bytes: usize,
        /// Limit of this side.
        limit: usize,
    },
    /// A frame of length 0, which has no content.
    #[error("a frame of no bytes")]
    Empty,
    /// The bytes are not a `Frame` of cbs.sidecar.v1.
    #[error("a frame that cannot be read: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// The stream ended in the middle of a frame.
    #[error("the stream ended in the middle of a frame: {bytes} bytes of it had come")]
    Truncated {
        /// Number of bytes of it that had come, with those of its length.
        bytes: usize,
    },
    /// The stream itself failed.
    #[error("the stream failed: {0}")]
    Io(#[from] std::io::Error),
}

/// A frame that was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Content of the frame. Its `Bytes` are slices of the received buffer.
    pub kind: Kind,
    /// Number of its bytes on the stream, with the four of its length: its cost in credit, if it
    /// costs any.
    pub cost: u64,
}

/// Decoder of bytes to frames, without a stream.
pub struct Decoder {
    buffer: BytesMut,
    frame_bytes_max: usize,
    skipped: u64,
}

impl Decoder {
    /// Returns a decoder of frames of at most this many bytes.
    #[must_use]
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), frame_bytes_max, skipped: 0 }
    }

    /// Adds bytes from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Returns the next whole frame; `None` until more bytes have come. Frames of kinds that this
    /// version does not know are passed over.
    ///
    /// # Errors
    /// Bytes that are no frame. The bytes after them have no meaning: close the stream.
    #[allow(clippy::should_implement_trait, reason = "`None` is not the end")]
    pub fn next(&mut self) -> Result<Option<Received>, Error> {
        loop {
            let Some(length) = self.length() else { return Ok(None) };
            if length == 0 {
                return Err(Error::Empty);
            }
            if length > self.frame_bytes_max {
                return Err(Error::TooLarge { bytes: length, limit: self.frame_bytes_max });
            }
            if self.buffer.len() - LENGTH_BYTES < length {
                return Ok(None);
            }
            self.buffer.advance(LENGTH_BYTES);
            let frame = proto::Frame::decode(self.buffer.split_to(length).freeze())?;
            if let Some(kind) = frame.kind {
                return Ok(Some(Received { kind, cost: (LENGTH_BYTES + length) as u64 }));
            }
            self.skipped += 1;
            tracing::debug!(bytes = length, "a frame of an unknown kind was ignored");
        }
    }

    /// Checks that the stream may end here.
    ///
    /// # Errors
    /// [`Error::Truncated`] if it ends in the middle of a frame.
    pub fn end(&self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            Ok(())
        } else {
            Err(Error::Truncated { bytes: self.buffer.len() })
        }
    }

    /// Returns the number of frames of unknown kinds that were passed over.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Returns the buffer, with space for the next bytes.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        let announced =
            self.length().map_or(0, |length| (length + LENGTH_BYTES).min(ANNOUNCED_BYTES));
        let missing = announced.saturating_sub(self.buffer.len());
        // If only a little space is left, only a few bytes could be read.
        if self.buffer.capacity() - self.buffer.len() < missing.max(READ_BYTES / 8) {
            self.buffer.reserve(missing.max(READ_BYTES));
        }
        &mut self.buffer
    }

    fn length(&self) -> Option<usize> {
        let length = self.buffer.first_chunk::<LENGTH_BYTES>()?;
        Some(u32::from_be_bytes(*length) as usize)
    }
}

/// Returns a frame with its length.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "a frame is made to be sent")]
pub fn encode(kind: Kind) -> Bytes {
    let mut out = Vec::new();
    put(&kind, &mut out);
    out.into()
}

/// Appends a frame with its length to `out`. Returns the number of its bytes on the stream.
pub(crate) fn put(kind: &Kind, out: &mut Vec<u8>) -> u64 {
    let length = kind.encoded_len();
    out.reserve(LENGTH_BYTES + length);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    kind.encode(out);
    (LENGTH_BYTES + length) as u64
}

/// Returns a kind's name in the schema.
#[must_use]
pub fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Hello(_) => "hello",
        Kind::Welcome(_) => "welcome",
        Kind::Ready(_) => "ready",
        Kind::Request(_) => "request",
        Kind::Reply(_) => "reply",
        Kind::Cancel(_) => "cancel",
        Kind::Print(_) => "print",
        Kind::Ask(_) => "ask",
        Kind::Log(_) => "log",
        Kind::Credit(_) => "credit",
        Kind::Ping(_) => "ping",
        Kind::Pong(_) => "pong",
        Kind::Drain(_) => "drain",
        Kind::Goodbye(_) => "goodbye",
        Kind::Note(_) => "note",
    }
}

/// A stream of frames in both directions, one at a time. The handshake uses it on either side,
/// before [`Peer::new`](crate::Peer::new) takes it over.
pub struct Frames<S> {
    pub(crate) stream: S,
    pub(crate) decoder: Decoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Returns a stream that reads frames of at most this many bytes.
    pub fn new(stream: S, frame_bytes_max: usize) -> Self {
        Self { stream, decoder: Decoder::new(frame_bytes_max) }
    }

    /// Sets another limit from here on.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: usize) {
        self.decoder.frame_bytes_max = frame_bytes_max;
    }

    /// Reads the next frame; `None` if the stream ended between two frames. Cancel-safe.
    ///
    /// # Errors
    /// The received bytes are no frame, or the stream failed.
    pub async fn read(&mut self) -> Result<Option<Kind>, Error> {
        loop {
            if let Some(received) = self.decoder.next()? {
                return Ok(Some(received.kind));
            }
            if self.stream.read_buf(self.decoder.buffer()).await? == 0 {
                return self.decoder.end().map(|()| None);
            }
        }
    }

    /// Writes one frame, whole.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn write(&mut self, kind: Kind) -> Result<(), Error> {
        self.stream.write_all(&encode(kind)).await?;
        Ok(self.stream.flush().await?)
    }

    /// Returns the stream itself.
    pub fn stream(&self) -> &S {
        &self.stream
    }
}
