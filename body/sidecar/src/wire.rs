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

/// How many bytes tell a frame's length.
pub const LENGTH_BYTES: usize = 4;
/// The largest frame that is read where nothing else was agreed: a NATS server takes messages of
/// up to 64 MiB, its default is 1 MiB; calls within a body may be larger than that.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How much is read from the stream at once.
const READ_BYTES: usize = 64 * 1024;
/// Room is made for this much of an announced frame before it comes; beyond it, as it comes: who
/// announces much and sends little costs little.
const ANNOUNCED_BYTES: usize = 1024 * 1024;

/// Why what was read from a stream is no frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A frame's length is beyond the limit. Nothing was read of it.
    #[error("a frame of {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its length without the four bytes that tell it.
        bytes: usize,
        /// The most that this side reads.
        limit: usize,
    },
    /// A frame of length 0: it says nothing.
    #[error("a frame of no bytes")]
    Empty,
    /// The bytes are not a `Frame` of cbs.sidecar.v1.
    #[error("a frame that cannot be read: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// The stream ended in the middle of a frame.
    #[error("the stream ended in the middle of a frame: {bytes} bytes of it had come")]
    Truncated {
        /// How many bytes of it had come, with those of its length.
        bytes: usize,
    },
    /// The stream itself failed.
    #[error("the stream failed: {0}")]
    Io(#[from] std::io::Error),
}

/// A frame that was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// What it says. Its `Bytes` are slices of the received buffer.
    pub kind: Kind,
    /// Its bytes on the stream, with the four of its length: what it costs in credit, where it costs any.
    pub cost: u64,
}

/// Bytes to frames, without a stream.
pub struct Decoder {
    buffer: BytesMut,
    frame_bytes_max: usize,
    skipped: u64,
}

impl Decoder {
    /// Reads frames of at most so many bytes.
    #[must_use]
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), frame_bytes_max, skipped: 0 }
    }

    /// What came from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// The next whole frame; `None` until more has come. Frames of kinds that this version does not
    /// know are passed over.
    ///
    /// # Errors
    /// Bytes that are no frame. What comes after them means nothing: close the stream.
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
            tracing::debug!(bytes = length, "a frame of a kind that is not known was passed over");
        }
    }

    /// Whether the stream may end here.
    ///
    /// # Errors
    /// [`Error::Truncated`] in the middle of a frame.
    pub fn end(&self) -> Result<(), Error> {
        if self.buffer.is_empty() { Ok(()) } else { Err(Error::Truncated { bytes: self.buffer.len() }) }
    }

    /// How many frames of unknown kinds were passed over.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The buffer, with room for what may come next.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        let announced = self.length().map_or(0, |length| (length + LENGTH_BYTES).min(ANNOUNCED_BYTES));
        let missing = announced.saturating_sub(self.buffer.len());
        // A little room left would make for a little read.
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

/// A frame with its length.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "a frame is made to be sent")]
pub fn encode(kind: Kind) -> Bytes {
    let mut out = Vec::new();
    put(&kind, &mut out);
    out.into()
}

/// Writes a frame with its length behind what `out` holds; gives back its bytes on the stream.
pub(crate) fn put(kind: &Kind, out: &mut Vec<u8>) -> u64 {
    let length = kind.encoded_len();
    out.reserve(LENGTH_BYTES + length);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    kind.encode(out);
    (LENGTH_BYTES + length) as u64
}

/// A kind's name in the schema.
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

/// A stream that frames come from and go to, one at a time: what the handshake is done with, on
/// either side, before [`Peer::new`](crate::Peer::new) takes it over.
pub struct Frames<S> {
    pub(crate) stream: S,
    pub(crate) decoder: Decoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Frames of at most so many bytes are read.
    pub fn new(stream: S, frame_bytes_max: usize) -> Self {
        Self { stream, decoder: Decoder::new(frame_bytes_max) }
    }

    /// Another limit from here on.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: usize) {
        self.decoder.frame_bytes_max = frame_bytes_max;
    }

    /// The next frame; `None` where the stream ended between two. Cancel-safe.
    ///
    /// # Errors
    /// What came is no frame, or the stream failed.
    pub async fn read(&mut self) -> Result<Option<Kind>, Error> {
        loop {
            if let Some(received) = self.decoder.next()? {
                return Ok(Some(received.kind));
            }
            if self.stream.read_buf(self.decoder.room()).await? == 0 {
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

    /// The stream itself.
    pub fn stream(&self) -> &S {
        &self.stream
    }
}
