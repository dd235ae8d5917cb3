//! The envelope: the message that cells exchange, with its metadata.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{CellError, Target, Text, Trace};

/// The content type of a payload that does not name one.
pub const CONTENT_TYPE_DEFAULT: &str = "application/json";
/// The most attributes an envelope may carry.
pub const ATTRIBUTES_MAX: usize = 32;
/// The most bytes that the keys and values of all attributes may have together.
pub const ATTRIBUTES_BYTES_MAX: usize = 8 * 1024;

/// Kind of an envelope: its purpose. Numbers 4 to 8 are reserved on the wire (chunk, end, accepted,
/// cancel, credit).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Asks for a reply.
    #[default]
    Request,
    /// Answers a request.
    Reply,
    /// Answers a request with an error.
    Error,
    /// Reports an event to all subscribers; nobody answers.
    Event,
}

/// Sender of an envelope: a claim for diagnosis, never authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The body's id; empty for programs that are no body.
    pub body: Text,
    /// The cell or flow that made the call, in [`Target`]'s form; empty in replies.
    pub cell: Text,
    /// The revision of its spec.
    pub revision: Text,
}

/// Transport that carried a request or a reply. The bus that received it sets it; it is never on
/// the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Within one body.
    #[default]
    #[serde(alias = "body")]
    InProcess,
    /// From another process of the same body, through a Unix socket.
    #[serde(alias = "process")]
    Ipc,
    /// Over NATS.
    Nats,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::InProcess => "in-process",
            Self::Ipc => "ipc",
            Self::Nats => "nats",
        })
    }
}

/// A message between cells: a payload that no bus looks into, and its metadata.
///
/// An empty [`Text`] and a `None` mean absent, and take no bytes on the wire.
///
/// ```
/// use cbs::Envelope;
/// let request = Envelope::request("logic.greet".parse()?, r#"{"name":"Ada"}"#);
/// let reply = Envelope::reply(r#"{"text":"Hello, Ada!"}"#).answering(&request);
/// assert_eq!(reply.id, request.id);
/// assert_eq!(reply.correlation(), request.correlation());
/// # Ok::<(), cbs::NameError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Envelope {
    /// Kind of the envelope.
    pub kind: Kind,
    /// UUIDv7, or the UUIDv8 of a flow's step, which is derived from the run's id; a retry keeps
    /// it, a reply has its request's.
    pub id: Uuid,
    /// 0 for the first attempt, one more for each retry.
    pub attempt: u32,
    /// Id of the first request of the chain of calls; `None` where that is this one. See
    /// [`Self::correlation`].
    pub correlation_id: Option<Uuid>,
    /// The id of the request whose handling sent this one.
    pub causation_id: Option<Uuid>,
    /// Target that the envelope is sent to; `None` where the subject states it.
    pub target: Option<Target>,
    /// Sender of the envelope.
    pub source: Source,
    /// The payload's schema, `domain/vN/Type`.
    pub schema: Text,
    /// The payload's media type; empty means JSON.
    pub content_type: Text,
    /// Time when it was sent, in milliseconds since 1970 by the sender's clock; 0: the time when
    /// its id was made. See [`Self::sent_ms`].
    pub time_ms: u64,
    /// Remaining time of the call when the envelope was sent; whole milliseconds on the wire.
    pub timeout: Option<Duration>,
    /// A foreign trace; `None`: implied by the ids. See [`Self::trace`].
    pub foreign_trace: Option<Trace>,
    /// W3C tracestate, as it came.
    pub tracestate: Text,
    /// The caller's own key: two calls with one key are meant as one. It is carried to the cell,
    /// which may keep it; no bus looks at it.
    pub idempotency_key: Text,
    /// True if the call may run twice; known to the caller alone, never on the wire.
    pub idempotent: bool,
    /// Error of a reply of kind [`Kind::Error`], with the information whether the cell ran.
    pub error: Option<Box<crate::BusError>>,
    /// Anything else, at most [`ATTRIBUTES_MAX`] entries and [`ATTRIBUTES_BYTES_MAX`] bytes.
    pub attributes: Vec<(Text, Text)>,
    /// Payload bytes of the message.
    pub payload: Bytes,
    /// Transport that carried the envelope; never on the wire.
    pub via: Transport,
}

impl Envelope {
    /// A new request with an id of its own, sent now.
    pub fn request(target: Target, payload: impl Into<Bytes>) -> Self {
        Self {
            id: Uuid::now_v7(),
            target: Some(target),
            payload: payload.into(),
            ..Self::default()
        }
    }

    /// A reply; the bus that carries it gives it its request's ids.
    pub fn reply(payload: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Reply, payload: payload.into(), ..Self::default() }
    }

    /// A reply that carries an error.
    #[must_use]
    pub fn error(error: crate::BusError) -> Self {
        Self { kind: Kind::Error, error: Some(Box::new(error)), ..Self::default() }
    }

    /// A new event with an id of its own, sent now.
    pub fn event(topic: crate::Topic, payload: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Event, ..Self::request(Target::Topic(topic), payload) }
    }

    /// The same reply with the ids of the request that it answers.
    #[must_use]
    pub fn answering(mut self, request: &Self) -> Self {
        self.answer(request);
        self
    }

    /// Gives a reply the ids of the request that it answers.
    pub fn answer(&mut self, request: &Self) {
        self.id = request.id;
        self.correlation_id = request.correlation_id;
        self.causation_id = request.causation_id;
    }

    /// Prepares a request to be sent again with the time that remains.
    ///
    /// The id shows when the request was sent first. Without a time of its own, a receiver would
    /// count the shorter timeout from there and soon treat the request as stale.
    ///
    /// ```
    /// use cbs::Envelope;
    /// use std::time::Duration;
    /// let mut request = Envelope::request("logic.greet".parse()?, "{}");
    /// let id = request.id;
    /// request.resend(Duration::from_millis(300));
    /// assert_eq!((request.id, request.timeout), (id, Some(Duration::from_millis(300))));
    /// assert!(request.time_ms > 0);
    /// # Ok::<(), cbs::NameError>(())
    /// ```
    pub fn resend(&mut self, remaining: Duration) {
        self.timeout = Some(remaining);
        self.time_ms = now_ms();
    }

    /// The reply as a result: the error that it carries, if it carries one.
    ///
    /// # Errors
    /// The carried error; `internal` where an error reply carries none.
    pub fn into_result(self) -> Result<Self, crate::BusError> {
        match (self.kind, self.error) {
            (Kind::Error, Some(error)) => Err(*error),
            (Kind::Error, None) => {
                Err(CellError::new(crate::Code::Internal, "an error reply without an error").into())
            }
            (_, error) => Ok(Self { error, ..self }),
        }
    }

    /// Time when it was sent, in milliseconds since 1970 by the sender's clock: as stated, or read
    /// from its id (a UUIDv7 holds the millisecond when it was made). `None` where neither states
    /// it.
    #[must_use]
    pub fn sent_ms(&self) -> Option<u64> {
        if self.time_ms != 0 {
            return Some(self.time_ms);
        }
        let (high, _) = self.id.as_u64_pair();
        (self.id.get_version_num() == 7).then_some(high >> 16)
    }

    /// Returns the id of the first request of the chain of calls: its own where it is the first.
    #[must_use]
    pub fn correlation(&self) -> Uuid {
        self.correlation_id.unwrap_or(self.id)
    }

    /// Its position in its trace: the foreign one that came with it, else one implied by the
    /// ids (trace id = correlation id, span = the last eight bytes of the causation id or,
    /// at the root, of its own id), not sampled.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.foreign_trace.unwrap_or_else(|| Trace {
            trace_id: self.correlation().into_bytes(),
            span_id: crate::span_of(self.causation_id.unwrap_or(self.id)),
            flags: 0,
        })
    }

    /// The target, or an error for an envelope without one.
    ///
    /// # Errors
    /// `bad-request` where the envelope names no target.
    pub fn target(&self) -> Result<&Target, crate::BusError> {
        self.target
            .as_ref()
            .ok_or_else(|| crate::BusError::bad_request("the envelope names no target"))
    }

    /// Checks the limits of the attributes. Every bus does so before it sends.
    ///
    /// # Errors
    /// `too-large` for more than [`ATTRIBUTES_MAX`] of them, or more than [`ATTRIBUTES_BYTES_MAX`]
    /// bytes.
    pub fn check_attributes(&self) -> Result<(), CellError> {
        let (count, bytes) = self.attributes.iter().fold((0, 0), |(count, bytes), (key, value)| {
            (count + 1, bytes + key.len() + value.len())
        });
        if count <= ATTRIBUTES_MAX && bytes <= ATTRIBUTES_BYTES_MAX {
            return Ok(());
        }
        let message = format!(
            "the envelope has {count} attributes of {bytes} bytes, the limits are {ATTRIBUTES_MAX} and \
             {ATTRIBUTES_BYTES_MAX}; put more into the payload"
        );
        Err(CellError::new(crate::Code::TooLarge, message))
    }

    /// The payload's media type.
    #[must_use]
    pub fn content_type(&self) -> &str {
        if self.content_type.is_empty() { CONTENT_TYPE_DEFAULT } else { &self.content_type }
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| *found == key).map(|(_, value)| value.as_str())
    }
}

/// Milliseconds since 1970 by this machine's clock.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
