//! Fields of a reply: the same on every bus, for every handler.

use cbs::{
    BusError, CellError, Code, Envelope, Kind, Outcome, Target, Text, Transport, Uuid, frame,
};

/// The ids that a reply takes over from its request.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    id: Uuid,
    correlation_id: Option<Uuid>,
    causation_id: Option<Uuid>,
}

impl Ids {
    /// Returns the ids of a request.
    #[must_use]
    pub fn of(request: &Envelope) -> Self {
        Self {
            id: request.id,
            correlation_id: request.correlation_id,
            causation_id: request.causation_id,
        }
    }
}

/// Makes the reply for the caller from the reply of a handler: the request's ids, kind `reply`, no
/// target, no timeout, and the body's id if the handler named none. Payload, content type, schema
/// and attributes stay; so does the distance of a process within the body.
///
/// # Errors
/// The error that the handler put into the envelope.
pub fn seal(reply: &mut Envelope, ids: &Ids, body: &Text, via: Transport) -> Result<(), BusError> {
    if reply.kind == Kind::Error {
        std::mem::take(reply).into_result()?;
    }
    reply.kind = Kind::Reply;
    reply.id = ids.id;
    reply.correlation_id = ids.correlation_id;
    reply.causation_id = ids.causation_id;
    reply.attempt = 0;
    reply.target = None;
    reply.timeout = None;
    reply.idempotent = false;
    // Within the body the handler's value is better: the cell that it calls may be a separate
    // process.
    if (via, reply.via) != (Transport::InProcess, Transport::Ipc) {
        reply.via = via;
    }
    if reply.source.body.is_empty() {
        reply.source.body = body.clone();
    }
    Ok(())
}

/// Returns the length of a message that is longer than `limit` bytes as a frame.
fn exceeds(envelope: &Envelope, limit: usize) -> Option<usize> {
    // Only a message near the limit is measured: a header is far below HEADER_BYTES_MAX.
    if envelope.payload.len().saturating_add(frame::HEADER_BYTES_MAX) <= limit {
        return None;
    }
    let header = Envelope { payload: cbs::Bytes::new(), ..envelope.clone() };
    let bytes = frame::encode(&header).len().saturating_add(envelope.payload.len());
    (bytes > limit).then_some(bytes)
}

/// Refuses a request or an event that is longer than `limit` bytes as a frame, or has more
/// attributes than fit.
///
/// # Errors
/// `too-large`; the cell did not run.
pub fn check_size(envelope: &Envelope, target: &Target, limit: usize) -> Result<(), BusError> {
    envelope.check_attributes().map_err(|error| BusError::new(error, Outcome::NotRun))?;
    exceeds(envelope, limit).map_or(Ok(()), |bytes| Err(BusError::too_large(target, bytes, limit)))
}

/// Refuses a reply that is longer than `limit` bytes as a frame, or has more attributes than fit.
///
/// # Errors
/// `too-large`; the cell ran.
pub fn check_reply_size(reply: &Envelope, target: &Target, limit: usize) -> Result<(), BusError> {
    reply.check_attributes()?;
    exceeds(reply, limit).map_or(Ok(()), |bytes| {
        let message = format!("the reply of {target} has {bytes} bytes, the limit is {limit}");
        Err(BusError::new(CellError::new(Code::TooLarge, message), Outcome::Ran))
    })
}
