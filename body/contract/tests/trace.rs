//! Positions in a trace: as text, and implied by ids.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use cbs::{Envelope, Trace, Uuid, span_of};
use proptest::prelude::*;

const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_traceparent_is_read_and_printed() {
    let trace = Trace::parse(TEXT).unwrap();
    assert_eq!(trace.trace_id[..2], [0x0a, 0xf7]);
    assert_eq!(trace.span_id[6..], [0x33, 0x31]);
    assert_eq!(trace.flags, 1);
    assert_eq!(trace.to_string(), TEXT);
}

#[test]
fn a_later_version_may_say_more() {
    let later = TEXT.replacen("00", "cc", 1) + "-what-the-future-will-be-like";
    assert_eq!(Trace::parse(&later), Trace::parse(TEXT));
    assert_eq!(Trace::parse(&TEXT.replacen("00", "cc", 1)), Trace::parse(TEXT));
}

#[test]
fn flags_that_this_version_does_not_know_go_no_further() {
    for (flags, known) in [("ff", "03"), ("09", "01"), ("fc", "00"), ("02", "02")] {
        for version in ["00", "cc"] {
            let text = format!("{version}-{}-{flags}", &TEXT[3..52]);
            assert_eq!(
                Trace::parse(&text).unwrap().to_string(),
                format!("00-{}-{known}", &TEXT[3..52]),
                "{text}"
            );
        }
    }
    // From a frame, they come unread.
    let trace = Trace { flags: 0xff, ..Trace::parse(TEXT).unwrap() };
    assert!(trace.to_string().ends_with("-03"), "{trace}");
}

#[test]
fn what_is_no_traceparent_is_none() {
    let zeros = [
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    ];
    let wrong = [
        "".to_owned(),
        "00".to_owned(),
        TEXT.to_uppercase(),
        TEXT.replacen("00", "ff", 1),
        TEXT.replacen("00", "0", 1),
        TEXT.replacen("00", "zz", 1),
        TEXT.to_owned() + "-more",
        TEXT.to_owned() + "0",
        TEXT[..TEXT.len() - 1].to_owned(),
        TEXT.replace('-', "_"),
        TEXT.replace('b', "+"),
        TEXT.replace('b', "é"),
        format!(" {TEXT}"),
    ];
    for text in zeros.into_iter().map(str::to_owned).chain(wrong) {
        assert_eq!(Trace::parse(&text), None, "{text}");
    }
}

#[test]
fn without_a_foreign_trace_the_ids_imply_one() {
    let root = Envelope::request("logic.greet".parse().unwrap(), "");
    assert_eq!(
        root.trace(),
        Trace { trace_id: root.id.into_bytes(), span_id: span_of(root.id), flags: 0 }
    );
    let correlation = Uuid::now_v7();
    let causation = Uuid::now_v7();
    let nested =
        Envelope { correlation_id: Some(correlation), causation_id: Some(causation), ..root };
    let implied =
        Trace { trace_id: correlation.into_bytes(), span_id: span_of(causation), flags: 0 };
    assert_eq!(nested.trace(), implied);
    let foreign = Trace::parse(TEXT);
    assert_eq!(Envelope { foreign_trace: foreign, ..nested }.trace(), foreign.unwrap());
}

#[test]
fn an_id_tells_when_it_was_made_unless_the_envelope_does() {
    let before = cbs::now_ms();
    let request = Envelope::request("logic.greet".parse().unwrap(), "");
    let sent = request.sent_ms().unwrap();
    assert!((before..=cbs::now_ms()).contains(&sent));
    assert_eq!(Envelope { time_ms: 7, ..request.clone() }.sent_ms(), Some(7));
    assert_eq!(Envelope { id: Uuid::from_u128(7), ..request }.sent_ms(), None);
}

proptest! {
    #[test]
    fn what_is_printed_is_read(trace_id in any::<[u8; 16]>(), span_id in any::<[u8; 8]>(), flags in 0_u8..4) {
        let trace = Trace { trace_id, span_id, flags };
        let zero = trace_id == [0; 16] || span_id == [0; 8];
        prop_assert_eq!(Trace::parse(&trace.to_string()), (!zero).then_some(trace));
    }

    #[test]
    fn no_text_does_harm(text in "\\PC{0,60}", hex in "[0-9a-f-]{50,60}") {
        let _ = Trace::parse(&text);
        if let Some(trace) = Trace::parse(&hex) {
            prop_assert_eq!(Trace::parse(&trace.to_string()), Some(trace));
        }
    }
}
