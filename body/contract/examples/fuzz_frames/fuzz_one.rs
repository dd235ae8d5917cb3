//! Checks that hold for any bytes. They do not depend on where the bytes come from: this program's
//! own mutations, a test, or libFuzzer.

use cbs::{
    Envelope,
    frame::{self, FrameError},
};

/// Reads the bytes as a frame. Panics when a promise of [`frame::decode`] is broken.
pub(crate) fn fuzz_one(bytes: &[u8]) {
    let frame = cbs::Bytes::copy_from_slice(bytes);
    let envelope = match frame::decode(frame.clone()) {
        Ok(envelope) => envelope,
        Err(error) => return assert!(!error.to_string().is_empty(), "an error that says nothing"),
    };
    let at = frame.len() - envelope.payload.len();
    assert!(
        std::ptr::eq(frame.slice(at..).as_ptr(), envelope.payload.as_ptr())
            || envelope.payload.is_empty(),
        "the payload is not a slice of the frame's buffer"
    );
    // JSON may be written in many ways, and may grow beyond the limit when it is written anew.
    let has_details = envelope.error.as_ref().is_some_and(|error| error.error().details.is_some());
    let written = frame::encode(&envelope);
    match frame::decode(written.clone()) {
        Ok(again) if has_details => {
            assert_eq!(again.payload, envelope.payload, "the payload changed on its way");
        }
        Ok(again) => {
            assert_eq!(again, as_written(envelope), "what was read, and what was written of it");
            assert_eq!(frame::encode(&again), written, "one envelope, two frames");
        }
        Err(FrameError::HeaderTooLarge(_)) if has_details => {}
        Err(error) => assert_eq!(
            error.to_string(),
            "",
            "a frame that was read cannot be written and read again"
        ),
    }
}

/// Form of an envelope after the wire: replies have no ids, and an envelope without its own id has
/// no other ids.
fn as_written(envelope: Envelope) -> Envelope {
    use cbs::Kind::{Event, Request};
    if matches!(envelope.kind, Request | Event) && !envelope.id.is_nil() {
        return envelope;
    }
    Envelope { id: cbs::Uuid::nil(), correlation_id: None, causation_id: None, ..envelope }
}
