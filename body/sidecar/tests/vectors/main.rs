//! The golden vectors in `specs/vectors/sidecar.json`, which every SDK reads.
//!
//! `CBS_BLESS=1 cargo test -p sidecar --test vectors` writes the parts anew that follow from the
//! rest: the bytes of a frame, the content of a read-only frame, the error of a bad one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

mod form;
mod traces;

use std::{collections::HashSet, mem};

use cbs::frame;
use sidecar::{
    proto,
    wire::{self, Decoder, Error, Kind},
};
use testkit::vectors::{Hex, assert_follows, read_blessed};

use self::form::{Said, Vectors};

const SIDECAR: &str = "sidecar.json";

/// Returns all frames of a stream that ends after these bytes, and the number of frames that were
/// passed over.
fn stream(bytes: &Hex, frame_bytes_max: usize) -> Result<(Vec<Kind>, u64), Error> {
    let whole = read_in(frame_bytes_max, bytes.0.chunks(usize::MAX));
    let byte_by_byte = read_in(frame_bytes_max, bytes.0.chunks(1));
    match (&whole, byte_by_byte) {
        (Ok(whole), Ok(other)) => assert_eq!(*whole, other),
        (Err(whole), Err(other)) => assert_eq!(whole.to_string(), other.to_string()),
        (whole, other) => panic!("{whole:?} whole, {other:?} byte by byte"),
    }
    whole
}

fn read_in<'a>(
    max: usize,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> Result<(Vec<Kind>, u64), Error> {
    let mut decoder = Decoder::new(max);
    let mut kinds = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(received) = decoder.next()? {
            kinds.push(received.kind);
        }
    }
    decoder.end()?;
    Ok((kinds, decoder.skipped()))
}

fn one(bytes: &Hex) -> Kind {
    let (kinds, skipped) = stream(bytes, wire::FRAME_BYTES_MAX).unwrap();
    assert_eq!((kinds.len(), skipped), (1, 0));
    kinds.into_iter().next().unwrap()
}

/// Returns the same vectors, with the parts made anew that follow from the rest.
fn follow(mut vectors: Vectors) -> Vectors {
    for good in &mut vectors.frames {
        if good.read_only {
            good.frame = Said::of(&one(&good.bytes));
        } else {
            good.bytes = Hex(wire::encode(good.frame.kind()));
        }
    }
    for bad in &mut vectors.bad {
        bad.error = stream(&bad.bytes, bad.frame_bytes_max)
            .err()
            .map_or_else(String::new, |error| error.to_string());
    }
    vectors
}

fn vectors() -> Vectors {
    read_blessed(SIDECAR, follow)
}

#[test]
fn sidecar_json_holds_what_this_program_reads_and_writes() {
    let hint = "`CBS_BLESS=1 cargo test -p sidecar --test vectors` writes it";
    assert_follows(SIDECAR, follow, hint);
}

#[test]
fn side_1_every_frame_is_read_as_it_says_and_written_as_it_stands() {
    for good in vectors().frames {
        assert_eq!(Said::of(&one(&good.bytes)), good.frame, "{}", good.name);
        if !good.read_only {
            assert_eq!(wire::encode(good.frame.kind()), good.bytes.0, "{}", good.name);
        }
    }
}

#[test]
fn envelopes_are_frames_of_cbs_v1_or_bare() {
    let mut framed = 0;
    for good in vectors().frames {
        let (Kind::Request(proto::Request { envelope, .. })
        | Kind::Reply(proto::Reply { envelope, .. })) = good.frame.kind()
        else {
            continue;
        };
        if frame::is_frame(&envelope) {
            framed += 1;
            frame::decode(envelope).unwrap_or_else(|error| panic!("{}: {error}", good.name));
        }
    }
    assert!(framed >= 6, "requests, an event, a reply, an error");
}

#[test]
fn side_4_what_is_not_known_is_passed_over() {
    for skipped in vectors().skipped {
        let (kinds, count) = stream(&skipped.bytes, wire::FRAME_BYTES_MAX).unwrap();
        assert_eq!((kinds.len(), count), (0, 1), "{}", skipped.name);
    }
}

#[test]
fn every_bad_stream_ends_with_its_error() {
    for bad in vectors().bad {
        let error = stream(&bad.bytes, bad.frame_bytes_max).expect_err(&bad.name);
        assert_eq!(error.to_string(), bad.error, "{}", bad.name);
    }
}

#[test]
fn every_kind_has_a_vector_and_every_vector_a_name_and_a_sentence() {
    let vectors = vectors();
    let kinds: HashSet<_> =
        vectors.frames.iter().map(|good| mem::discriminant(&good.frame)).collect();
    assert_eq!(kinds.len(), Said::KINDS);
    let names = vectors.frames.iter().map(|good| (&good.name, &good.description));
    let names =
        names.chain(vectors.skipped.iter().map(|skipped| (&skipped.name, &skipped.description)));
    let names: Vec<_> =
        names.chain(vectors.bad.iter().map(|bad| (&bad.name, &bad.description))).collect();
    assert!(names.iter().all(|(name, description)| !name.is_empty() && description.ends_with('.')));
    let unique: HashSet<_> = names.iter().map(|(name, _)| name).collect();
    assert_eq!(unique.len(), names.len());
    assert!(vectors.about.contains("version 1"));
}
