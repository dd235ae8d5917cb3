//! Any envelope that the wire can carry.

use std::time::Duration;

use cbs::{BusError, CellError, Code, Envelope, Kind, Outcome, Source, Target, Text, Trace, Uuid};
use proptest::{collection::vec, option, prelude::*};

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![Just(String::new()), "[a-z/]{1,12}", "\\PC{0,40}", "(?s).{100,200}"]
        .prop_map(Text::from)
}

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(|number| Uuid::from_u128(number | 1))
}

fn target() -> impl Strategy<Value = Target> {
    let part = "[a-z][a-z0-9_-]{0,20}";
    prop_oneof![
        (part, part)
            .prop_filter("a reserved organ", |(organ, _)| organ != cbs::FLOW_ORGAN)
            .prop_map(|(organ, part)| format!("cell {organ}.{part}")),
        part.prop_map(|name| format!("flow {name}")),
        vec(part, 1..=8).prop_map(|parts| format!("topic {}", parts.join("."))),
    ]
    .prop_map(|text| text.parse().unwrap())
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            vec(("[a-z]{1,6}", inner), 0..4).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

fn code() -> impl Strategy<Value = Code> {
    let own: Vec<_> = Code::kinds().collect();
    prop_oneof![
        proptest::sample::select(own).prop_map(str::to_owned),
        "[a-z]{1,8}\\.[a-z-]{1,8}",
        "\\PC{1,20}"
    ]
    .prop_map(|text| Code::from(text.as_str()))
}

fn error() -> impl Strategy<Value = BusError> {
    (code(), "\\PC{0,80}", any::<bool>(), option::of(json()), any::<bool>()).prop_map(
        |(code, message, retryable, details, not_run)| {
            // What the wire says: a timeout that is not said to be without effect may have had one.
            let outcome = match (not_run, &code) {
                (true, _) => Outcome::NotRun,
                (false, Code::Timeout) => Outcome::Unknown,
                (false, _) => Outcome::Ran,
            };
            BusError::new(CellError { code, message, retryable, details }, outcome)
        },
    )
}

fn trace() -> impl Strategy<Value = Trace> {
    any::<([u8; 16], [u8; 8], u8)>().prop_map(|(trace_id, span_id, flags)| Trace {
        trace_id,
        span_id,
        flags,
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Request), Just(Kind::Reply), Just(Kind::Error), Just(Kind::Event)]
}

/// An envelope in the form in which it is read: replies without ids, whole milliseconds.
pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    let ids = (
        option::of((id(), option::of(id()), option::of(id()))),
        any::<u32>(),
        text(),
        option::of(target()),
    );
    let about = (
        (text(), text(), text()),
        text(),
        text(),
        any::<u64>(),
        0..=u64::MAX,
        option::of(trace()),
        text(),
    );
    let rest =
        (kind(), option::of(error()), vec((text(), text()), 0..8), vec(any::<u8>(), 0..2_000));
    (ids, about, rest).prop_map(|(ids, about, rest)| {
        let (ids, attempt, idempotency_key, target) = ids;
        let (
            (body, cell, revision),
            schema,
            content_type,
            time_ms,
            timeout_ms,
            foreign_trace,
            tracestate,
        ) = about;
        let (kind, error, attributes, payload) = rest;
        let (id, correlation_id, causation_id) =
            ids.filter(|_| matches!(kind, Kind::Request | Kind::Event)).unwrap_or_default();
        Envelope {
            kind,
            id,
            attempt,
            correlation_id,
            causation_id,
            target,
            source: Source { body, cell, revision },
            schema,
            content_type,
            time_ms,
            timeout: (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms)),
            foreign_trace,
            tracestate,
            idempotency_key,
            error: error.map(Box::new),
            attributes,
            payload: payload.into(),
            ..Envelope::default()
        }
    })
}
