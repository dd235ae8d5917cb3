//! The frame: an envelope as bytes, the same over NATS and to sidecars.
//!
//! ```text
//! 0xCB 0x01 | varint header length | protobuf cbs.v1.Header | payload bytes as they are
//! ```
//!
//! The header's schema is `specs/proto/cbs/v1/envelope.proto`; the protobuf wire format is
//! <https://protobuf.dev/programming-guides/encoding/>. This codec is written by hand, for it
//! runs four times a call, and is held to prost's by the tests and the golden frames in
//! `specs/vectors/`. [`decode`] copies no payload: it is a slice of the received buffer.
//!
//! ```
//! use cbs::{Envelope, frame};
//! let sent = Envelope::request("logic.greet".parse()?, "{}");
//! let bytes = frame::encode(&sent);
//! assert_eq!(frame::decode(bytes)?, sent);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod read;
mod write;

use bytes::Bytes;

pub use self::{read::decode, write::encode};

/// The first byte of every frame. No JSON text, no UTF-8 text and no MessagePack map begins with
/// it.
pub const MARK: u8 = 0xCB;
/// The second byte: the version of the frame.
pub const VERSION: u8 = 1;
/// The most bytes a header may have.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Reason why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte is not [`MARK`].
    #[error("not a frame: the first byte is not 0xCB")]
    NotAFrame,
    /// A version that this program does not know.
    #[error("frame version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// The bytes end before the header does.
    #[error("the frame ends in the middle of its header")]
    Truncated,
    /// A header of more than [`HEADER_BYTES_MAX`] bytes.
    #[error("the header has {0} bytes, the limit is {HEADER_BYTES_MAX}")]
    HeaderTooLarge(u64),
    /// A protobuf number without an end.
    #[error("the header has a number of more than 10 bytes")]
    LongNumber,
    /// A field that breaks the header's schema: its number, and what is wrong.
    #[error("header field {0}: {1}")]
    Field(u32, &'static str),
}

/// True if a message looks like a frame (of any version); any other message is plain.
#[must_use]
pub fn is_frame(bytes: &Bytes) -> bool {
    bytes.first() == Some(&MARK)
}
