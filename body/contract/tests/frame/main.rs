//! The frame codec: every written frame can be read, prost agrees, and no bytes do harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

mod arbitrary;
/// The header's schema as prost reads it. Generated from `specs/proto/`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]
mod proto {
    include!("generated/cbs.v1.rs");
}

use std::time::Duration;

use cbs::{
    Bytes, Envelope, Kind, Outcome,
    frame::{self, FrameError, HEADER_BYTES_MAX, MARK, VERSION},
};
use proptest::prelude::*;
use prost::Message;

use self::arbitrary::envelope;

/// The header's bytes and the payload of a frame.
fn split(frame: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = frame.strip_prefix(&[MARK, VERSION]).unwrap();
    let length = prost::encoding::decode_varint(&mut rest).unwrap();
    rest.split_at(length.try_into().unwrap())
}

fn join(header: &[u8], payload: &[u8]) -> Bytes {
    let mut frame = vec![MARK, VERSION];
    prost::encoding::encode_varint(header.len() as u64, &mut frame);
    frame.extend_from_slice(header);
    frame.extend_from_slice(payload);
    frame.into()
}

/// The header of an envelope, field by field, as the schema has it.
fn header(envelope: &Envelope) -> proto::Header {
    let bytes = |id: Option<cbs::Uuid>| {
        id.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default()
    };
    let trace = |trace: cbs::Trace| {
        [&trace.trace_id[..], &trace.span_id[..], &[trace.flags]].concat().into()
    };
    let source = &envelope.source;
    proto::Header {
        id: bytes(Some(envelope.id).filter(|id| !id.is_nil())),
        correlation_id: bytes(envelope.correlation_id),
        causation_id: bytes(envelope.causation_id),
        idempotency_key: envelope.idempotency_key.to_string(),
        target: envelope.target.as_ref().map(ToString::to_string).unwrap_or_default(),
        source: (source != &cbs::Source::default()).then(|| proto::Source {
            body: source.body.to_string(),
            cell: source.cell.to_string(),
            revision: source.revision.to_string(),
        }),
        schema: envelope.schema.to_string(),
        content_type: envelope.content_type.to_string(),
        time_ms: envelope.time_ms,
        timeout_ms: envelope
            .timeout
            .map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap()),
        trace: envelope.foreign_trace.map(trace).unwrap_or_default(),
        tracestate: envelope.tracestate.to_string(),
        kind: match envelope.kind {
            Kind::Request => proto::Kind::Request,
            Kind::Reply => proto::Kind::Reply,
            Kind::Error => proto::Kind::Error,
            Kind::Event => proto::Kind::Event,
        }
        .into(),
        error: envelope.error.as_ref().map(|error| proto::Error {
            code: error.code().to_string(),
            message: error.error().message.clone(),
            retryable: error.error().retryable,
            details: error
                .error()
                .details
                .as_ref()
                .map(|json| json.to_string().into())
                .unwrap_or_default(),
            not_run: error.outcome() == Outcome::NotRun,
        }),
        attributes: envelope
            .attributes
            .iter()
            .map(|(key, value)| proto::Attribute { key: key.to_string(), value: value.to_string() })
            .collect(),
        attempt: envelope.attempt,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(envelope in envelope()) {
        prop_assert_eq!(frame::decode(frame::encode(&envelope)), Ok(envelope));
    }

    #[test]
    fn prost_reads_what_is_written_and_writes_the_same(envelope in envelope()) {
        let frame = frame::encode(&envelope);
        let (bytes, payload) = split(&frame);
        prop_assert_eq!(payload, &envelope.payload[..]);
        prop_assert_eq!(proto::Header::decode(bytes).unwrap(), header(&envelope));
        prop_assert_eq!(bytes, header(&envelope).encode_to_vec());
    }

    #[test]
    fn what_prost_writes_is_read(envelope in envelope()) {
        let frame = join(&header(&envelope).encode_to_vec(), &envelope.payload);
        prop_assert_eq!(frame::decode(frame), Ok(envelope));
    }

    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        harmless(&bytes.clone().into());
        harmless(&join(&bytes, b"payload"));
        harmless(&[&[MARK, VERSION], &bytes[..]].concat().into());
    }

    #[test]
    fn no_change_of_a_frame_does_harm(
        envelope in envelope(),
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = frame::encode(&envelope).to_vec();
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        harmless(&bytes.clone().into());
        bytes.truncate(cut.index(bytes.len()));
        harmless(&bytes.into());
    }
}

/// Reads bytes; an error must say something.
fn harmless(bytes: &Bytes) {
    match frame::decode(bytes.clone()) {
        Ok(envelope) => assert!(envelope.payload.len() <= bytes.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

#[test]
fn the_payload_is_a_slice_of_the_received_buffer() {
    let frame = frame::encode(&Envelope::request("logic.greet".parse().unwrap(), vec![7; 100_000]));
    let payload = frame::decode(frame.clone()).unwrap().payload;
    assert_eq!(payload.as_ptr(), frame[frame.len() - 100_000..].as_ptr());
}

#[test]
fn a_header_may_have_64_kib_and_not_a_byte_more() {
    let fits = Envelope {
        idempotency_key: "x".repeat(HEADER_BYTES_MAX - 4).into(),
        ..Envelope::default()
    };
    let frame = frame::encode(&fits);
    assert_eq!(split(&frame).0.len(), HEADER_BYTES_MAX);
    assert_eq!(frame::decode(frame), Ok(fits));
    let large = Envelope {
        idempotency_key: "x".repeat(HEADER_BYTES_MAX - 3).into(),
        ..Envelope::default()
    };
    let refused = frame::decode(frame::encode(&large));
    assert_eq!(refused, Err(FrameError::HeaderTooLarge(HEADER_BYTES_MAX as u64 + 1)));
}

#[test]
fn a_timeout_is_rounded_up_to_whole_milliseconds() {
    let sent = |timeout| {
        frame::decode(frame::encode(&Envelope { timeout: Some(timeout), ..Envelope::default() }))
    };
    for (timeout, read) in [(0, 1), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
        let found = sent(Duration::from_nanos(timeout)).unwrap().timeout;
        assert_eq!(found, Some(Duration::from_millis(read)), "{timeout} ns");
    }
    assert_eq!(sent(Duration::MAX).unwrap().timeout, Some(Duration::from_millis(u64::MAX)));
}

#[test]
fn what_only_the_caller_knows_stays_with_it() {
    let known = Envelope { idempotent: true, via: cbs::Transport::Nats, ..Envelope::default() };
    assert_eq!(frame::decode(frame::encode(&known)), Ok(Envelope::default()));
}

#[test]
fn only_what_begins_with_the_mark_looks_like_a_frame() {
    assert!(frame::is_frame(&Bytes::from_static(&[MARK])));
    assert!(frame::is_frame(&frame::encode(&Envelope::default())));
    for plain in ["", "{}", "\"text\"", "Ë"] {
        assert!(!frame::is_frame(&Bytes::from(plain)), "{plain}");
    }
}
