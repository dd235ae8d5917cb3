//! Conversion of a call to an OTLP span.
//!
//! Names follow OpenTelemetry's conventions for RPC
//! (<https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/>): a span has the name of its
//! method, `logic.greet` or `flow.greeting`; kind, status and `error.type` follow the conventions.
//! Attributes that only CBS has are below `cbs.`.

use cbs::{Side, Span, SpanEntry, Target, Transport};
use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    trace::v1::{self as otlp, span::SpanKind, status::StatusCode},
};

use super::{attribute, number};

/// OTLP flag: it is known whether the parent is in another process. The low eight bits are W3C's
/// flags.
const FLAG_REMOTE_KNOWN: u32 = 0x100;
const FLAG_REMOTE: u32 = 0x200;

/// Returns the OTLP span of a call, or of its handling.
pub(super) fn write(span: &Span) -> otlp::Span {
    let elapsed = u64::try_from(span.elapsed.as_nanos()).unwrap_or(u64::MAX);
    let mut attributes = about(span);
    let mut events = Vec::new();
    for note in &span.notes {
        match note {
            SpanEntry::Attribute { key, value } => {
                // Of two attributes with one key, the later one counts.
                attributes.retain(|known| known.key != key.as_str());
                attributes.push(attribute(key, value.as_str()));
            }
            SpanEntry::Event { name, time_ns, attributes } => events.push(otlp::span::Event {
                time_unix_nano: *time_ns,
                name: name.to_string(),
                attributes: attributes
                    .iter()
                    .map(|(key, value)| attribute(key, value.as_str()))
                    .collect(),
                dropped_attributes_count: 0,
            }),
        }
    }
    let remote = span.side == Side::Server && span.via != Transport::InProcess;
    otlp::Span {
        trace_id: span.trace.trace_id.to_vec(),
        span_id: span.trace.span_id.to_vec(),
        trace_state: span.tracestate.to_string(),
        parent_span_id: span.parent.map(Vec::from).unwrap_or_default(),
        flags: u32::from(span.trace.flags)
            | FLAG_REMOTE_KNOWN
            | if remote { FLAG_REMOTE } else { 0 },
        name: method(&span.target),
        kind: match span.side {
            Side::Client => SpanKind::Client,
            Side::Server => SpanKind::Server,
        }
        .into(),
        start_time_unix_nano: span.began_ns,
        end_time_unix_nano: span.began_ns.saturating_add(elapsed),
        attributes,
        dropped_attributes_count: span.notes_dropped,
        events,
        status: span.error.as_ref().map(|code| otlp::Status {
            message: code.as_str().to_owned(),
            code: StatusCode::Error.into(),
        }),
        ..otlp::Span::default()
    }
}

/// Returns the method name, `logic.greet` or `flow.greeting`, as in metrics.
fn method(target: &Target) -> String {
    match target {
        Target::Flow(name) => format!("flow.{name}"),
        other => other.name().to_owned(),
    }
}

fn about(span: &Span) -> Vec<KeyValue> {
    let whole = |number: u128| i64::try_from(number).unwrap_or(i64::MAX);
    let mut all = vec![
        attribute("rpc.system.name", "cbs"),
        attribute("rpc.method", method(&span.target)),
        attribute("cbs.via", span.via.to_string()),
        attribute("cbs.request.id", span.id.to_string()),
        number("cbs.attempt", i64::from(span.attempt) + 1),
    ];
    let texts = [
        ("cbs.body", &span.place.body),
        ("cbs.cell", &span.place.cell),
        ("cbs.revision", &span.place.revision),
        ("cbs.language", &span.language),
        ("cbs.peer.body", &span.peer.body),
        ("cbs.peer.cell", &span.peer.cell),
    ];
    all.extend(
        texts
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| attribute(key, text.as_str())),
    );
    if span.via == Transport::Nats {
        all.push(attribute("network.protocol.name", "nats"));
    }
    if span.side == Side::Server {
        all.push(number("cbs.wait_ms", whole(span.waited.as_millis())));
    }
    if let Some(code) = &span.error {
        all.push(attribute("error.type", code.as_str()));
        all.push(attribute("rpc.response.status_code", code.as_str()));
    }
    all
}
