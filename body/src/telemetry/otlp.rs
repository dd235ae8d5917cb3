//! Export of spans and log lines to an OTLP receiver, by gRPC.
//!
//! A recorder puts its items into a bounded queue and goes on. One task for each signal sends them
//! in batches. If a receiver hangs, refuses or is not there, items that do not fit are lost: they
//! are counted, and the outage and its end are logged once each.

mod endpoint;
mod queue;
mod span;
mod task;

use std::{sync::Arc, time::Duration};

use cbs::Span;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::task::{LogPort, Sending, SpanPort};
pub(super) use self::{endpoint::Endpoint, queue::Queue};
use super::{counters::Counters, log::LogRecord};
use crate::output;

/// Log target of this module's own lines, which are never sent.
pub(super) const TARGET: &str = "cbs::otlp";
/// Limit of the time that the last batches may take when the program ends.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Exporter that starts and ends the sending tasks.
pub(super) struct Exporter {
    tasks: TaskTracker,
    stop: CancellationToken,
    resource: Resource,
    counters: Arc<Counters>,
}

impl Exporter {
    /// Creates an exporter for this resource. Nothing is sent yet.
    pub(super) fn new(resource: Resource, counters: Arc<Counters>) -> Self {
        Self { tasks: TaskTracker::new(), stop: CancellationToken::new(), resource, counters }
    }

    /// Starts to send spans. Returns their queue.
    pub(super) fn spans(&self, endpoint: &Endpoint) -> Queue<Arc<Span>> {
        let (queue, waiting) = queue::queue();
        let port = SpanPort::new(endpoint, self.resource.clone());
        let sending = Sending::new(port, waiting, self.counters.clone(), self.stop.clone());
        self.tasks.spawn(sending.run());
        queue
    }

    /// Starts to send log lines. Returns their queue.
    pub(super) fn logs(&self, endpoint: &Endpoint) -> Queue<LogRecord> {
        let (queue, waiting) = queue::queue();
        let port = LogPort::new(endpoint, self.resource.clone());
        let sending = Sending::new(port, waiting, self.counters.clone(), self.stop.clone());
        self.tasks.spawn(sending.run());
        queue
    }

    /// Sends the waiting items, for at most two seconds, and ends.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        // The tasks have the limit themselves; this is for a task that exceeds it.
        if tokio::time::timeout(END_LIMIT * 2, self.tasks.wait()).await.is_err() {
            tracing::warn!(target: TARGET, "what was to be sent at the end is given up");
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Returns a text as an OTLP value.
pub(super) fn text(text: impl Into<String>) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.into())) }
}

/// Returns an attribute whose value is a text.
pub(super) fn attribute(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text(value)), ..KeyValue::default() }
}

fn number(key: &str, value: i64) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::IntValue(value)) }),
        ..KeyValue::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "cbs".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Returns the resource, which describes the sender of all items
/// (<https://opentelemetry.io/docs/specs/semconv/resource/>). `OTEL_RESOURCE_ATTRIBUTES` and
/// `OTEL_SERVICE_NAME` override the body's own values.
pub(super) fn resource(namespace: &str, body: &str) -> Resource {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let own = [
        ("service.name", Some("cbs".to_owned())),
        ("service.namespace", Some(namespace.to_owned())),
        ("service.instance.id", Some(body.to_owned())),
        ("service.version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("host.name", host),
    ];
    let given = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let name = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let mut all: std::collections::BTreeMap<String, String> =
        own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    for (key, value) in endpoint::pairs(&given).flatten() {
        all.insert(key, value);
    }
    if let Some(name) = name {
        all.insert("service.name".to_owned(), name);
    }
    let mut attributes: Vec<_> =
        all.into_iter().map(|(key, value)| attribute(&key, value)).collect();
    attributes.push(number("process.pid", i64::from(std::process::id())));
    Resource { attributes, ..Resource::default() }
}

/// Returns a receiver's message on one line, with at most 300 characters.
fn words(text: &str) -> String {
    output::sanitize(text).chars().take(300).collect()
}

/// Queues for tests.
#[cfg(test)]
pub(super) mod testing {
    use super::Queue;

    /// Returns a queue that is never emptied, and a function that returns the number of its items.
    pub(in crate::telemetry) fn queue<T>() -> (Queue<T>, impl Fn() -> u64) {
        let (queue, waiting) = super::queue::queue();
        (queue, move || waiting.items.len() as u64)
    }
}
