//! Log lines as OTLP log records.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use cbs::{Uuid, span_of};
use host_sidecar::log;
pub(in crate::telemetry) use opentelemetry_proto::tonic::logs::v1::LogRecord;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::{
    super::{
        counters::{Counters, Reason, Signal},
        otlp::{self, Queue, attribute},
    },
    LIBRARIES,
};

/// Limit of the bytes of a text that is sent.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Layer that sends lines to the queue, once there is one.
pub(super) struct Lines {
    pub(super) queue: Arc<OnceLock<Queue<LogRecord>>>,
    pub(super) counters: Arc<Counters>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let Some(queue) = self.queue.get() else { return };
        let target = event.metadata().target();
        let family = target.split("::").next().unwrap_or_default();
        // Code that sends a line must not create another line of it.
        if target == otlp::TARGET || LIBRARIES.contains(&family) {
            return;
        }
        // A line that does not fit is not even written.
        let taken = !queue.is_full() && {
            let (size, record) = record(event);
            queue.offer(size, record)
        };
        if !taken {
            self.counters.count_dropped(Signal::Logs, Reason::QueueFull, 1);
        }
    }
}

/// Returns the record of a line, and its approximate bytes.
fn record(event: &Event<'_>) -> (usize, LogRecord) {
    let mut fields = Fields { record: LogRecord::default(), size: size_of::<LogRecord>() };
    event.record(&mut fields);
    let level = *event.metadata().level();
    let now = cbs::now_ns();
    let Fields { mut record, size } = fields;
    record.time_unix_nano = now;
    record.observed_time_unix_nano = now;
    record.severity_text = level.to_string();
    // https://opentelemetry.io/docs/specs/otel/logs/data-model/#severity-fields
    record.severity_number = match level {
        Level::ERROR => 17,
        Level::WARN => 13,
        Level::INFO => 9,
        Level::DEBUG => 5,
        Level::TRACE => 1,
    };
    // OpenTelemetry has no name for the place in a program that a line is from, unless it is a
    // function.
    record.attributes.push(attribute("cbs.log.target", event.metadata().target()));
    (size, record)
}

/// Fields of an event in the form of a record.
struct Fields {
    record: LogRecord,
    size: usize,
}

/// Approximate bytes of an attribute besides its text.
const ATTRIBUTE_BYTES: usize = 128;

impl Fields {
    fn take(&mut self, name: &str, mut text: String) {
        if let Some(own) = (name == log::OWN_FIELDS).then(|| log::own_fields(&text)).flatten() {
            own.into_iter().for_each(|(key, text)| self.take(&key, text));
            return;
        }
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        self.size += text.len() + ATTRIBUTE_BYTES;
        match name {
            "message" => self.record.body = Some(otlp::text(text)),
            "trace_id" => match u128::from_str_radix(&text, 16) {
                Ok(id) if text.len() == 32 => self.record.trace_id = id.to_be_bytes().to_vec(),
                _ => self.record.attributes.push(attribute(name, text)),
            },
            "id" => {
                if let Ok(id) = text.parse::<Uuid>() {
                    self.record.span_id = span_of(id).to_vec();
                }
                self.record.attributes.push(attribute("cbs.request.id", text));
            }
            "cell" => self.record.attributes.push(attribute("cbs.cell", text)),
            name => self.record.attributes.push(attribute(name, text)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.to_owned());
    }
}
