//! The contract between cells and bodies of CBS, the cell-based microservice runtime on NATS.
//!
//! A **cell** does one task. Cells exchange **envelopes** and meet only on the **bus**; the same
//! cell can be called in its own body, from another process, or across NATS, and neither side sees
//! a difference. This crate is all that a cell depends on.
//!
//! A whole cell:
//!
//! ```
//! use cbs::{CellContext, CellError, NativeCell};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Name { name: String }
//!
//! #[derive(Serialize)]
//! struct Greeting { text: String }
//!
//! async fn greet(_: &CellContext, input: Name) -> Result<Greeting, CellError> {
//!     Ok(Greeting { text: format!("Hello, {}!", input.name) })
//! }
//!
//! /// What a body links in.
//! pub fn cells() -> Vec<NativeCell> {
//!     vec![cbs::cell("logic.greet", greet)]
//! }
//! # assert_eq!(cells().len(), 1);
//! ```
//!
//! [`BodyBus`] shows a whole middleware, and the one mistake that everybody makes.
//!
//! # Layout
//!
//! - [`Cell`], [`cell()`], [`NativeCell`]: the interface for authors of cells. [`CellContext`]: the
//!   context of a call.
//! - [`Envelope`]: the message. [`frame`]: the same as bytes.
//! - [`BodyBus`], [`Handler`], [`Service`]: a bus, and the handlers that it gives requests to.
//!   [`Stats`]: its counters.
//! - [`Trace`], [`Span`], [`SpanSink`]: the record of a call. [`Latency`]: the durations of calls.
//! - [`CellError`], [`BusError`], [`Code`], [`Outcome`]: errors as data.
//! - [`CellName`], [`FlowName`], [`Topic`], [`Namespace`], [`BodyId`], [`Target`], [`Subject`]:
//!   names.
#![deny(missing_docs)]

mod bus;
mod cell;
mod context;
mod envelope;
mod error;
pub mod frame;
mod json;
mod latency;
mod name;
mod sanitize;
mod stats;
mod subject;
mod text;
mod trace;
mod typed;

/// The examples of README.md, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

pub use bytes::Bytes;
pub use uuid::Uuid;

pub use self::{
    bus::{
        BodyBus, BoxFuture, Delivery, EventStream, Handler, Service, Serving, Subscription,
        TIMEOUT_DEFAULT, TargetInfo,
    },
    cell::{Cell, DynCell, NativeCell},
    context::{CellContext, CellEnv, Console, CurrentSpan, Log},
    envelope::{
        ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX, CONTENT_TYPE_DEFAULT, Envelope, Kind, Source,
        Transport, now_ms,
    },
    error::{BusError, CellError, Code, ERROR_BYTES_MAX, Outcome},
    latency::{Latency, LatencyBuckets},
    name::{
        BodyId, CellName, FLOW_ORGAN, FlowName, NameError, Namespace, PART_BYTES_MAX,
        TOPIC_PARTS_MAX, Target, Topic, TopicFilter,
    },
    sanitize::{sanitize, sanitize_char},
    stats::{ListWorkers, Stats, Worker},
    subject::{CELL_GROUP, FLOW_GROUP, Subject},
    text::Text,
    trace::{
        SPAN_ENTRIES_BYTES_MAX, SPAN_ENTRIES_MAX, SPAN_ENTRY_BYTES_MAX, Side, Span, SpanEntries,
        SpanEntry, SpanSink, Trace, now_ns, span_of, span_of_attempt,
    },
    typed::{CellFn, cell, from_json, to_json},
};
