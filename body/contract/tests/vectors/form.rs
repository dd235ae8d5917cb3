//! Envelopes as the vectors write them.

use std::time::Duration;

use cbs::{BusError, CellError, Code, Envelope, Kind, Outcome, Source, Trace};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `frames.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frames {
    pub(crate) about: String,
    pub(crate) frames: Vec<Good>,
    pub(crate) bad: Vec<Bad>,
}

/// A frame and the envelope that it holds. Payload and frame are hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Good {
    pub(crate) name: String,
    pub(crate) description: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) read_only: bool,
    pub(crate) header: Header,
    pub(crate) payload: String,
    pub(crate) frame: String,
}

/// Bytes that are no frame.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bad {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) frame: String,
    pub(crate) error: String,
}

/// An envelope without its payload; what is absent in the frame is absent here.
#[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Header {
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) id: String,
    #[serde(skip_serializing_if = "is_default")]
    correlation_id: String,
    #[serde(skip_serializing_if = "is_default")]
    causation_id: String,
    #[serde(skip_serializing_if = "is_default")]
    idempotency_key: String,
    #[serde(skip_serializing_if = "is_default")]
    target: String,
    #[serde(skip_serializing_if = "is_default")]
    source: Sender,
    #[serde(skip_serializing_if = "is_default")]
    schema: String,
    #[serde(skip_serializing_if = "is_default")]
    content_type: String,
    #[serde(skip_serializing_if = "is_default")]
    time_ms: u64,
    #[serde(skip_serializing_if = "is_default")]
    timeout_ms: u64,
    #[serde(skip_serializing_if = "is_default")]
    trace: String,
    #[serde(skip_serializing_if = "is_default")]
    tracestate: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    #[serde(skip_serializing_if = "is_default")]
    attributes: Vec<(String, String)>,
    #[serde(skip_serializing_if = "is_default")]
    attempt: u32,
}

#[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Sender {
    #[serde(skip_serializing_if = "is_default")]
    body: String,
    #[serde(skip_serializing_if = "is_default")]
    cell: String,
    #[serde(skip_serializing_if = "is_default")]
    revision: String,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Failure {
    code: String,
    message: String,
    #[serde(default, skip_serializing_if = "is_default")]
    retryable: bool,
    /// Absent and null are not the same.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    not_run: bool,
}

fn there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Request, "request"),
    (Kind::Reply, "reply"),
    (Kind::Error, "error"),
    (Kind::Event, "event"),
];

impl Header {
    /// Returns the header of an envelope in the form of the vectors.
    pub(crate) fn of(envelope: &Envelope) -> Self {
        let text = |id: Option<cbs::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let source = &envelope.source;
        Self {
            kind: KINDS
                .iter()
                .find(|(kind, _)| *kind == envelope.kind)
                .map_or("", |(_, name)| name)
                .to_owned(),
            id: text(Some(envelope.id).filter(|id| !id.is_nil())),
            correlation_id: text(envelope.correlation_id),
            causation_id: text(envelope.causation_id),
            idempotency_key: envelope.idempotency_key.to_string(),
            target: envelope.target.as_ref().map(ToString::to_string).unwrap_or_default(),
            source: Sender {
                body: source.body.to_string(),
                cell: source.cell.to_string(),
                revision: source.revision.to_string(),
            },
            schema: envelope.schema.to_string(),
            content_type: envelope.content_type.to_string(),
            time_ms: envelope.time_ms,
            timeout_ms: envelope
                .timeout
                .map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap()),
            trace: envelope.foreign_trace.as_ref().map(ToString::to_string).unwrap_or_default(),
            tracestate: envelope.tracestate.to_string(),
            error: envelope.error.as_ref().map(|error| Failure {
                code: error.code().to_string(),
                message: error.error().message.clone(),
                retryable: error.error().retryable,
                details: error.error().details.clone(),
                not_run: error.outcome() == Outcome::NotRun,
            }),
            attributes: envelope
                .attributes
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            attempt: envelope.attempt,
        }
    }

    /// Returns the envelope of this header.
    pub(crate) fn envelope(&self, payload: Vec<u8>) -> Envelope {
        let id = |text: &String| (!text.is_empty()).then(|| text.parse().unwrap());
        Envelope {
            kind: KINDS.iter().find(|(_, name)| *name == self.kind).unwrap().0,
            id: id(&self.id).unwrap_or_default(),
            attempt: self.attempt,
            correlation_id: id(&self.correlation_id),
            causation_id: id(&self.causation_id),
            target: (!self.target.is_empty()).then(|| self.target.parse().unwrap()),
            source: Source {
                body: self.source.body.as_str().into(),
                cell: self.source.cell.as_str().into(),
                revision: self.source.revision.as_str().into(),
            },
            schema: self.schema.as_str().into(),
            content_type: self.content_type.as_str().into(),
            time_ms: self.time_ms,
            timeout: (self.timeout_ms > 0).then(|| Duration::from_millis(self.timeout_ms)),
            foreign_trace: (!self.trace.is_empty()).then(|| Trace::parse(&self.trace).unwrap()),
            tracestate: self.tracestate.as_str().into(),
            idempotency_key: self.idempotency_key.as_str().into(),
            error: self.error.as_ref().map(|error| Box::new(error.error())),
            attributes: self
                .attributes
                .iter()
                .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                .collect(),
            payload: payload.into(),
            ..Envelope::default()
        }
    }
}

impl Failure {
    fn error(&self) -> BusError {
        let code = Code::from(self.code.as_str());
        let outcome = match (self.not_run, &code) {
            (true, _) => Outcome::NotRun,
            (false, Code::Timeout) => Outcome::Unknown,
            (false, _) => Outcome::Ran,
        };
        let error = CellError::new(code, self.message.clone());
        BusError::new(
            CellError { retryable: self.retryable, details: self.details.clone(), ..error },
            outcome,
        )
    }
}
