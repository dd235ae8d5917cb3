//! Traces: the position of a call in its trace, and the record of the call.
//!
//! Ids are implied: the trace is named by the correlation id, a call's span by its request's id. So
//! a call that is not recorded costs nothing. A call that failed or was slow can still be recorded
//! when it has ended.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Code, Source, Target, Text, Transport};

/// Limit of a span's attributes and events; further ones are only counted.
pub const SPAN_ENTRIES_MAX: usize = 64;
/// Limit of the bytes of a name and of each text in a span's entry: longer texts are cut.
pub const SPAN_ENTRY_BYTES_MAX: usize = 1024;
/// Limit of the bytes that the texts of all entries of a span have together.
pub const SPAN_ENTRIES_BYTES_MAX: usize = 32 * 1024;

/// A trace's position, as in W3C Trace Context's `traceparent`
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    /// The id that all spans of a trace share.
    pub trace_id: [u8; 16],
    /// The span that sent the envelope.
    pub span_id: [u8; 8],
    /// Bit 0: sampled.
    pub flags: u8,
}

impl Trace {
    /// Reads a `traceparent` header: `00-<32 hex>-<16 hex>-<2 hex>`. `None` for anything else,
    /// and for ids of zeros, as the standard asks.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let version = parts.next()?;
        let trace = parts.next()?;
        let span = parts.next()?;
        let flags = parts.next()?;
        let mut number = [0];
        unhex(version, &mut number)?;
        // Later versions may say more after the flags; 255 is none.
        if number == [0xff] || (number == [0] && parts.next().is_some()) {
            return None;
        }
        let mut found = Self { trace_id: [0; 16], span_id: [0; 8], flags: 0 };
        unhex(trace, &mut found.trace_id)?;
        unhex(span, &mut found.span_id)?;
        let mut byte = [0];
        unhex(flags, &mut byte)?;
        let [flags] = byte;
        found.flags = flags & KNOWN;
        (found.trace_id != [0; 16] && found.span_id != [0; 8]).then_some(found)
    }
}

fn unhex(text: &str, into: &mut [u8]) -> Option<()> {
    let text = text.as_bytes();
    if text.len() != into.len() * 2
        || !text.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
    {
        return None;
    }
    for (byte, pair) in into.iter_mut().zip(text.chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(())
}

impl fmt::Display for Trace {
    /// Writes the `traceparent` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = u64::from_be_bytes(self.span_id);
        // A frame may carry flags of a later version; version 00 has none of them.
        write!(
            f,
            "00-{:032x}-{span:016x}-{:02x}",
            u128::from_be_bytes(self.trace_id),
            self.flags & KNOWN
        )
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Trace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Trace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("this is no traceparent"))
    }
}

/// Bit of a trace's flags that means: recorded.
const SAMPLED: u8 = 1;
/// The flags of version 00: recorded, and a trace id that is random.
const KNOWN: u8 = SAMPLED | 2;

impl Trace {
    /// The trace's id as text: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> impl fmt::Display + use<> {
        let id = u128::from_be_bytes(self.trace_id);
        fmt::from_fn(move |f| write!(f, "{id:032x}"))
    }

    /// True if the trace is to be recorded, as its first caller decided.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED == SAMPLED
    }

    /// The same position, to be recorded.
    #[must_use]
    pub fn sampled(self) -> Self {
        Self { flags: self.flags | SAMPLED, ..self }
    }
}

/// Takes the recorded spans of a body's calls. Called on the tasks of calls: it must not block.
pub trait SpanSink: Send + Sync + 'static {
    /// True if a call that begins a trace of this id is recorded with all that follows from it. The
    /// same answer for the same id.
    fn samples(&self, trace_id: [u8; 16]) -> bool;

    /// Time limit above which a call is recorded though it was not sampled.
    fn slow(&self) -> Duration;

    /// Takes the span of a call that has ended and was sampled, or failed, or was slow.
    fn record(&self, span: Span);
}

/// Side of a call that a span describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The side of the caller: waiting and transport included.
    Client,
    /// The side of the callee.
    Server,
}

/// A call as one side of it saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Its own position.
    pub trace: Trace,
    /// The span that caused it; `None` at the root.
    pub parent: Option<[u8; 8]>,
    /// Side of the call that it describes.
    pub side: Side,
    /// Target of the call.
    pub target: Target,
    /// Language of the target as the body knows it: `rust`, `python`, `dart`, …; empty: unknown.
    pub language: Text,
    /// The body that recorded it, its cell, and the cell's revision.
    pub place: Source,
    /// The other side as it reported itself: the caller, or the callee.
    pub peer: Source,
    /// The request's id.
    pub id: Uuid,
    /// 0 for the first attempt.
    pub attempt: u32,
    /// Time when it began, in nanoseconds since 1970 by the clock of the body's machine.
    pub began_ns: u64,
    /// Time that it waited for a permit before it ran.
    pub waited: Duration,
    /// Duration of the whole call.
    pub elapsed: Duration,
    /// Transport of the request, or of the reply.
    #[serde(alias = "distance")]
    pub via: Transport,
    /// Code of the error that the call failed with.
    pub error: Option<Code>,
    /// Attributes and events that the cell's author added.
    pub notes: Vec<SpanEntry>,
    /// Number of attributes and events that did not fit.
    pub notes_dropped: u32,
    /// W3C tracestate, as it came.
    #[serde(default)]
    pub tracestate: Text,
}

/// Attribute or event that a cell's author adds to the span of the call that the cell is handling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanEntry {
    /// A fact about the call; of two facts with one key the later counts.
    Attribute {
        /// Key of the fact, for example `order.id`.
        key: Text,
        /// Value of the fact.
        value: Text,
    },
    /// An event during the call.
    Event {
        /// Name of the event, for example `cache miss`.
        name: Text,
        /// Time of the event, in nanoseconds since 1970.
        time_ns: u64,
        /// Further facts about the event.
        attributes: Vec<(Text, Text)>,
    },
}

/// Attributes and events of one call while it runs; without any it costs nothing.
#[derive(Debug, Default)]
pub struct SpanEntries(Mutex<SpanEntriesInner>);

#[derive(Debug, Default)]
struct SpanEntriesInner {
    entries: Vec<SpanEntry>,
    bytes: usize,
    dropped: u32,
}

impl SpanEntries {
    /// Keeps an entry, cut to [`SPAN_ENTRY_BYTES_MAX`], within [`SPAN_ENTRIES_MAX`] and
    /// [`SPAN_ENTRIES_BYTES_MAX`]; beyond them only counts it.
    pub fn add(&self, entry: SpanEntry) {
        let entry = entry.cut();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = inner.bytes.saturating_add(entry.bytes());
        if inner.entries.len() < SPAN_ENTRIES_MAX && bytes <= SPAN_ENTRIES_BYTES_MAX {
            inner.bytes = bytes;
            inner.entries.push(entry);
        } else {
            inner.dropped = inner.dropped.saturating_add(1);
        }
    }

    /// Counts attributes and events that were dropped before they came here.
    pub fn count_dropped(&self, entries: u32) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.dropped = inner.dropped.saturating_add(entries);
    }

    /// Takes all attributes and events, and the number of those that did not fit.
    pub fn take(&self) -> (Vec<SpanEntry>, u32) {
        let inner = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        (inner.entries, inner.dropped)
    }
}

impl SpanEntry {
    fn bytes(&self) -> usize {
        match self {
            Self::Attribute { key, value } => key.len() + value.len(),
            Self::Event { name, attributes, .. } => {
                name.len()
                    + attributes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
            }
        }
    }

    fn cut(self) -> Self {
        match self {
            Self::Attribute { key, value } => Self::Attribute { key: cut(key), value: cut(value) },
            Self::Event { name, time_ns, mut attributes } => {
                attributes.truncate(SPAN_ENTRIES_MAX);
                let attributes =
                    attributes.into_iter().map(|(key, value)| (cut(key), cut(value))).collect();
                Self::Event { name: cut(name), time_ns, attributes }
            }
        }
    }
}

fn cut(text: Text) -> Text {
    if text.len() <= SPAN_ENTRY_BYTES_MAX {
        return text;
    }
    text.get(..text.floor_char_boundary(SPAN_ENTRY_BYTES_MAX)).unwrap_or_default().into()
}

/// The span of the handling of a request: the last eight bytes of its id; of a later attempt,
/// another.
#[must_use]
pub fn span_of_attempt(id: Uuid, attempt: u32) -> [u8; 8] {
    (u64::from_be_bytes(span_of(id)) ^ u64::from(attempt)).to_be_bytes()
}

/// Nanoseconds since 1970 by this machine's clock.
#[must_use]
pub fn now_ns() -> u64 {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The span of the handling of a request: the last eight bytes of its id.
#[must_use]
pub fn span_of(id: Uuid) -> [u8; 8] {
    let (_, low) = id.as_u64_pair();
    low.to_be_bytes()
}
