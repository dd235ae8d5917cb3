//! Any bytes at the reader: no panic, no hang.

use proptest::{collection::vec, prelude::*};
use sidecar::{
    CallError, Peer, Role, proto,
    wire::{self, Decoder, Frames, Kind},
};
use tokio::io::AsyncWriteExt;

use crate::pair::{LIMIT, Script, settings};

/// Returns frames of every kind with any numbers and texts.
fn kind() -> impl Strategy<Value = Kind> {
    let id = prop_oneof![0..6u64, any::<u64>()];
    (0..16u8, id, any::<u64>(), vec(any::<u8>(), 0..40), ".{0,10}").prop_map(
        |(kind, id, number, bytes, text)| {
            let small = (number % 1_000) as u32;
            match kind {
                0 => Kind::Hello(proto::Hello {
                    protocol: small,
                    sdk: text,
                    credit: number,
                    ..Default::default()
                }),
                1 => Kind::Welcome(proto::Welcome {
                    body: text,
                    credit: number,
                    ping_ms: small,
                    ..Default::default()
                }),
                2 => Kind::Ready(proto::Ready {}),
                3 | 4 => {
                    Kind::Request(proto::Request { id, envelope: bytes.into(), within: number % 4 })
                }
                5 => Kind::Reply(proto::Reply { id, envelope: bytes.into() }),
                6 => Kind::Cancel(proto::Cancel { id }),
                7 => Kind::Print(proto::Print { line: text, within: number }),
                8 => Kind::Ask(proto::Ask { id, question: text, within: number }),
                9 => Kind::Log(proto::Log {
                    level: small as i32,
                    message: text,
                    ..Default::default()
                }),
                10 => Kind::Credit(proto::Credit { bytes: number }),
                11 => Kind::Ping(proto::Ping { nonce: number }),
                12 => Kind::Pong(proto::Pong {
                    nonce: number,
                    in_flight: small,
                    ..Default::default()
                }),
                13 => Kind::Drain(proto::Drain { timeout_ms: number }),
                14 => Kind::Note(proto::Note {
                    within: number % 4,
                    dropped: small,
                    ..Default::default()
                }),
                _ => Kind::Goodbye(proto::Goodbye { reason: text }),
            }
        },
    )
}

fn decode(
    mut decoder: Decoder,
    chunks: impl IntoIterator<Item = Vec<u8>>,
) -> (Vec<Kind>, Option<String>, u64) {
    let mut kinds = Vec::new();
    for chunk in chunks {
        decoder.push(&chunk);
        loop {
            match decoder.next() {
                Ok(Some(received)) => kinds.push(received.kind),
                Ok(None) => break,
                Err(error) => return (kinds, Some(error.to_string()), decoder.skipped()),
            }
        }
    }
    let end = decoder.end().err().map(|error| error.to_string());
    (kinds, end, decoder.skipped())
}

proptest! {
    #[test]
    fn side_1_frames_are_read_as_they_were_written_however_they_arrive(
        kinds in vec(kind(), 0..8), cuts in vec(1..9usize, 1..6),
    ) {
        let stream: Vec<u8> = kinds.iter().flat_map(|kind| wire::encode(kind.clone())).collect();
        let mut chunks = Vec::new();
        let (mut rest, mut cuts) = (&stream[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            chunks.push(chunk.to_vec());
            rest = after;
        }
        prop_assert_eq!(decode(Decoder::new(1_000), chunks), (kinds, None, 0));
    }

    #[test]
    fn any_bytes_are_decoded_the_same_whole_and_byte_by_byte(bytes in vec(any::<u8>(), 0..200), lengths in any::<bool>()) {
        // Lengths of three zeros and a byte get further than random ones do.
        let bytes = if lengths { [&[0, 0, 0, bytes.len() as u8 / 2][..], &bytes].concat() } else { bytes };
        let whole = decode(Decoder::new(100), [bytes.clone()]);
        prop_assert_eq!(whole, decode(Decoder::new(100), bytes.iter().map(|byte| vec![*byte])));
    }

    #[test]
    fn any_frames_and_any_bytes_end_an_engine_without_a_panic(
        kinds in vec(kind(), 0..12), garbage in vec(any::<u8>(), 0..40), is_body in any::<bool>(), hangs in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (here, mut there) = tokio::net::UnixStream::pair().unwrap();
            let side = if is_body { Role::Body } else { Role::Sidecar };
            let inbound = if hangs { Script::hang() } else { Script::echo() };
            let (peer, engine) = Peer::new(Frames::new(here, 1_000), settings(side), inbound);
            let call = peer.request("x".into(), 0, None);
            let write = async {
                for kind in kinds {
                    // The engine may have closed it already.
                    let _ = there.write_all(&wire::encode(kind)).await;
                }
                let _ = there.write_all(&garbage).await;
                drop(there);
            };
            let (_end, answer, ()) = testkit::within(LIMIT, "the end", async { tokio::join!(engine, call, write) }).await;
            // The random frames may include a reply.
            let is_told = matches!(answer, Ok(_) | Err(CallError::Ended { .. }));
            prop_assert!(is_told);
            Ok(())
        })?;
    }
}
