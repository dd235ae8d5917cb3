//! Envelope to frame.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
};

use bytes::Bytes;

use super::{MARK, VERSION};
use crate::{BusError, Envelope, Kind, Outcome, Source, Text};

thread_local! {
    /// Headers are written here first: then a frame's length is known, and it takes one allocation.
    static HEADER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
/// A header longer than this is not kept for the next one.
const HEADER_BYTES_KEPT: usize = 1024;

/// Writes an envelope as a frame. Never fails: fields that the wire does not carry
/// ([`Envelope::idempotent`], [`Envelope::via`]) are left out.
#[must_use]
pub fn encode(envelope: &Envelope) -> Bytes {
    HEADER.with_borrow_mut(|written| {
        written.clear();
        written.shrink_to(HEADER_BYTES_KEPT);
        header(written, envelope);
        assemble(written, &envelope.payload)
    })
}

/// Allocates exactly the bytes that the frame needs: spare capacity would cost a second allocation.
fn assemble(header: &[u8], payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(2 + varint_len(header.len()) + header.len() + payload.len());
    out.extend_from_slice(&[MARK, VERSION]);
    varint(&mut out, header.len() as u64);
    out.extend_from_slice(header);
    out.extend_from_slice(payload);
    out.into()
}

fn header(out: &mut Vec<u8>, envelope: &Envelope) {
    if !envelope.id.is_nil() && matches!(envelope.kind, Kind::Request | Kind::Event) {
        bytes(out, 1, envelope.id.as_bytes());
        for (number, id) in [(2, envelope.correlation_id), (3, envelope.causation_id)] {
            if let Some(id) = id {
                bytes(out, number, id.as_bytes());
            }
        }
    }
    bytes(out, 4, envelope.idempotency_key.as_bytes());
    if let Some(target) = &envelope.target {
        nested(out, 5, |out| text(out, target));
    }
    if envelope.source != Source::default() {
        nested(out, 6, |out| source(out, &envelope.source));
    }
    bytes(out, 7, envelope.schema.as_bytes());
    bytes(out, 8, envelope.content_type.as_bytes());
    if envelope.time_ms != 0 {
        out.push(9 << 3 | 1);
        out.extend_from_slice(&envelope.time_ms.to_le_bytes());
    }
    number(out, 10, envelope.timeout.map_or(0, millis_up));
    if let Some(trace) = &envelope.foreign_trace {
        nested(out, 11, |out| {
            out.extend_from_slice(&trace.trace_id);
            out.extend_from_slice(&trace.span_id);
            out.push(trace.flags);
        });
    }
    bytes(out, 12, envelope.tracestate.as_bytes());
    number(out, 13, kind(envelope.kind));
    if let Some(found) = &envelope.error {
        nested(out, 14, |out| error(out, found));
    }
    for (key, value) in &envelope.attributes {
        nested(out, 15, |out| attribute(out, key, value));
    }
    number(out, 16, u64::from(envelope.attempt));
}

/// Whole milliseconds, rounded up: a call with half a millisecond left is not one without a limit.
fn millis_up(time: std::time::Duration) -> u64 {
    time.as_secs()
        .saturating_mul(1_000)
        .saturating_add(u64::from(time.subsec_nanos().div_ceil(1_000_000)))
        .max(1)
}

fn kind(kind: Kind) -> u64 {
    match kind {
        Kind::Request => 0,
        Kind::Reply => 1,
        Kind::Error => 2,
        Kind::Event => 3,
    }
}

fn source(out: &mut Vec<u8>, source: &Source) {
    bytes(out, 1, source.body.as_bytes());
    bytes(out, 2, source.cell.as_bytes());
    bytes(out, 3, source.revision.as_bytes());
}

fn error(out: &mut Vec<u8>, error: &BusError) {
    let data = error.error();
    bytes(out, 1, data.code.as_str().as_bytes());
    bytes(out, 2, data.message.as_bytes());
    number(out, 3, u64::from(data.retryable));
    if let Some(details) = &data.details {
        nested(out, 4, |out| text(out, details));
    }
    number(out, 5, u64::from(error.outcome() == Outcome::NotRun));
}

fn attribute(out: &mut Vec<u8>, key: &Text, value: &Text) {
    bytes(out, 1, key.as_bytes());
    bytes(out, 2, value.as_bytes());
}

/// A field of bytes; nothing where there are none.
fn bytes(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    if content.is_empty() {
        return;
    }
    tag(out, number, 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A field of a number; nothing where it is 0.
fn number(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        tag(out, number, 0);
        varint(out, value);
    }
}

/// A field whose content is written first and its length put before it.
fn nested(out: &mut Vec<u8>, number: u8, content: impl FnOnce(&mut Vec<u8>)) {
    tag(out, number, 2);
    out.push(0);
    let start = out.len();
    content(out);
    finish_length(out, start);
}

fn tag(out: &mut Vec<u8>, number: u8, wire: u8) {
    varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Writes the length of all bytes from `start` into the one byte reserved before `start`, and adds
/// space where the length takes more bytes.
fn finish_length(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    match (u8::try_from(length), out.get_mut(start - 1)) {
        (Ok(short @ 0..0x80), Some(place)) => *place = short,
        _ => {
            let mut long = Vec::with_capacity(5);
            varint(&mut long, length as u64);
            out.splice(start - 1..start, long);
        }
    }
}

fn varint_len(value: usize) -> usize {
    let bits = (usize::BITS - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(out: &mut Vec<u8>, value: &impl fmt::Display) {
    struct Into<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Into<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // Writing into a Vec cannot fail.
    let _ = write!(Into(out), "{value}");
}
