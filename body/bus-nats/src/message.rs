//! Envelopes as NATS messages: framed for CBS programs, plain for all others.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use cbs::{
    BusError, CellError, Code, Envelope, Kind, Outcome, Target, Text, Trace, Transport, Uuid, frame,
};

/// Header in which a plain caller gives its timeout in milliseconds.
pub(crate) const TIMEOUT_HEADER: &str = "Cbs-Timeout-Ms";
/// Headers of an error to a plain caller (ADR-32): a number, and one line.
pub(crate) const ERROR_CODE_HEADER: &str = "Nats-Service-Error-Code";
pub(crate) const ERROR_HEADER: &str = "Nats-Service-Error";
pub(crate) const CONTENT_TYPE_HEADER: &str = "Content-Type";
/// Limit of the characters of a one-line error in a header.
const ERROR_LINE_MAX: usize = 512;
/// Limit of the bytes of a `tracestate` that is passed on; W3C asks for 512.
pub(crate) const TRACESTATE_BYTES_MAX: usize = 4 * 1024;
/// Timeout of a plain caller that gives none: the target's own timeout applies, a day at most.
const TIMEOUT_UNSAID: Duration = Duration::from_hours(24);
/// Time beyond its timeout after which a request is stale. Clocks differ.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// Form of the other side's message. The answer has the same form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Framed,
    Plain,
}

/// Returns the form of a message: a frame unless its first byte or its headers say otherwise.
pub(crate) fn form_of(message: &Message) -> Form {
    let declared = message.headers.as_ref().is_some_and(|headers| {
        headers.iter().any(|(name, _)| {
            let name = name.to_string();
            name.eq_ignore_ascii_case(CONTENT_TYPE_HEADER)
                || name.to_ascii_lowercase().starts_with("ce-")
        })
    });
    if !declared && frame::is_frame(&message.payload) { Form::Framed } else { Form::Plain }
}

/// Reads a request that arrived for `target`.
pub(crate) fn read_request(
    message: Message,
    form: Form,
    target: &Target,
) -> Result<Envelope, BusError> {
    let mut request = match form {
        Form::Framed => frame::decode(message.payload)
            .map_err(|error| BusError::bad_request(error.to_string()))?,
        Form::Plain => read_plain(message)?,
    };
    if request.kind != Kind::Request {
        return Err(BusError::bad_request("the frame is no request"));
    }
    // Two requests without an id are two calls: a flow derives the ids of its steps' calls from it.
    if request.id.is_nil() {
        request.id = Uuid::now_v7();
    }
    request.target = Some(target.clone());
    Ok(request)
}

/// True if a request's caller has given up long ago.
pub(crate) fn is_stale(request: &Envelope) -> bool {
    let Some((sent, timeout)) = request.sent_ms().zip(request.timeout) else { return false };
    let limit = timeout.saturating_add(STALE_AFTER);
    Duration::from_millis(cbs::now_ms().saturating_sub(sent)) > limit
}

/// Returns the error for a stale request.
pub(crate) fn stale(target: &Target) -> BusError {
    let message =
        format!("the call to {target} came after its caller had given up; it did not run (stale)");
    BusError::new(CellError::new(Code::Timeout, message), Outcome::NotRun)
}

/// Reads a plain message: its bytes are the payload. A few headers are understood, and foreign ids
/// are kept.
fn read_plain(message: Message) -> Result<Envelope, BusError> {
    let timeout = Some(TIMEOUT_UNSAID);
    let mut envelope =
        Envelope { id: Uuid::now_v7(), payload: message.payload, timeout, ..Envelope::default() };
    let Some(headers) = message.headers else { return Ok(envelope) };
    let text =
        |name: &str| headers.get(name).map(|value| Text::from(value.as_str())).unwrap_or_default();
    envelope.content_type = text(CONTENT_TYPE_HEADER);
    // An invalid trace header starts a new trace, as W3C asks.
    envelope.foreign_trace = Trace::parse(&text("traceparent"));
    if envelope.foreign_trace.is_some() {
        // A longer state is dropped, as W3C allows: it would go with every call that follows.
        let state = headers
            .get("tracestate")
            .map(|state| state.as_str())
            .filter(|state| state.len() <= TRACESTATE_BYTES_MAX);
        envelope.tracestate = state.map(Text::from).unwrap_or_default();
    }
    let timeout = text(TIMEOUT_HEADER);
    if !timeout.is_empty() {
        let millis = timeout.parse().ok().filter(|millis| *millis > 0).ok_or_else(|| {
            BusError::bad_request(format!(
                "the header {TIMEOUT_HEADER} holds `{timeout}`; write whole milliseconds above 0"
            ))
        })?;
        envelope.timeout = Some(Duration::from_millis(millis));
    }
    for foreign in ["ce-id", "ce-source", "ce-subject", "Nats-Msg-Id"] {
        let value = text(foreign);
        if !value.is_empty() {
            envelope.attributes.push((foreign.to_ascii_lowercase().into(), value));
        }
    }
    Ok(envelope)
}

/// Writes a reply in the form of its request. A reply that is too large for the server becomes an
/// error.
pub(crate) fn write_reply(
    form: Form,
    target: &Target,
    body: &Text,
    reply: Result<Envelope, BusError>,
    payload_max: usize,
) -> (Option<HeaderMap>, Bytes) {
    let reply = reply.and_then(Envelope::into_result);
    let reply = reply
        .and_then(|reply| Ok(reply.check_attributes().map(|()| reply)?))
        .map_err(BusError::shortened);
    let written = write_reply_unbounded(form, body, reply);
    let bytes = written.1.len() + written.0.as_ref().map_or(0, headers_len);
    if bytes <= payload_max {
        return written;
    }
    let message = format!("the reply of {target} has {bytes} bytes, the limit is {payload_max}");
    write_reply_unbounded(form, body, Err(CellError::new(Code::TooLarge, message).into()))
}

/// Writes an error of the body's own, which is small, in the form of its request.
pub(crate) fn write_error(form: Form, body: &Text, error: BusError) -> (Option<HeaderMap>, Bytes) {
    write_reply_unbounded(form, body, Err(error))
}

fn write_reply_unbounded(
    form: Form,
    body: &Text,
    reply: Result<Envelope, BusError>,
) -> (Option<HeaderMap>, Bytes) {
    match (form, reply) {
        (Form::Framed, reply) => {
            let mut reply = reply.unwrap_or_else(Envelope::error);
            // A handler may answer with its changed request: fields that only a request has are not
            // part of a reply.
            if reply.kind != Kind::Error {
                reply.kind = Kind::Reply;
            }
            (reply.target, reply.timeout, reply.attempt) = (None, None, 0);
            reply.source.body = body.clone();
            (None, frame::encode(&reply))
        }
        (Form::Plain, Ok(reply)) if reply.content_type.is_empty() => (None, reply.payload),
        (Form::Plain, Ok(reply)) => {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE_HEADER, cbs::sanitize(&reply.content_type).as_str());
            (Some(headers), reply.payload)
        }
        (Form::Plain, Err(error)) => {
            let error = error.into_error();
            let mut headers = HeaderMap::new();
            headers.insert(ERROR_CODE_HEADER, error.code.status().to_string().as_str());
            headers.insert(ERROR_HEADER, one_line(&error.to_string()).as_str());
            (Some(headers), cbs::to_json(&error).unwrap_or_default())
        }
    }
}

/// Reads what came back for a request: a framed caller accepts a plain reply.
pub(crate) fn read_reply(message: Message) -> Result<Envelope, BusError> {
    let form = form_of(&message);
    let mut reply = match form {
        Form::Framed => frame::decode(message.payload).map_err(|error| {
            CellError::new(Code::Internal, format!("the reply cannot be read: {error}"))
        })?,
        Form::Plain => read_plain_reply(message)?,
    };
    reply.via = Transport::Nats;
    // By reference: an envelope has some 300 bytes, and most replies are no errors.
    match reply.kind {
        Kind::Reply => Ok(reply),
        Kind::Error => reply.into_result(),
        _ => Err(CellError::new(Code::Internal, "the reply cannot be read: the frame is no reply")
            .into()),
    }
}

fn read_plain_reply(message: Message) -> Result<Envelope, BusError> {
    let header = |name: &str| {
        message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(name))
            .map(|value| value.as_str().to_owned())
    };
    if let Some(status) = header(ERROR_CODE_HEADER) {
        let error = serde_json::from_slice(&message.payload).unwrap_or_else(|_| {
            CellError::new(
                code_of(&status),
                header(ERROR_HEADER).unwrap_or_else(|| format!("error {status}")),
            )
        });
        return Err(error.into());
    }
    let content_type = header(CONTENT_TYPE_HEADER).map(Text::from).unwrap_or_default();
    Ok(Envelope { content_type, ..Envelope::reply(message.payload) })
}

/// Returns the code for the error number of a service that is no cell.
fn code_of(status: &str) -> Code {
    let own = status.parse().ok().and_then(Code::of_status);
    own.unwrap_or_else(|| Code::Domain(format!("service.{status}").into()))
}

/// Returns a text for people in a header: one line of limited length.
pub(crate) fn one_line(text: &str) -> String {
    cbs::sanitize(text).chars().take(ERROR_LINE_MAX).collect()
}

/// Returns the bytes that headers take on the wire: `NATS/1.0\r\n`, a line each, and an empty line.
pub(crate) fn headers_len(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| {
        let name = name.to_string().len();
        values.iter().map(move |value| name + value.as_str().len() + 4)
    });
    12 + lines.sum::<usize>()
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
