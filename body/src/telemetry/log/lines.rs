//! Lines of the log as OTLP's log records.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use cbs::{Uuid, span_of};
pub(in crate::telemetry) use opentelemetry_proto::tonic::logs::v1::LogRecord;
use tokio::sync::mpsc;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::{
    super::{
        counters::{Counters, Reason, Signal},
        otlp::{self, attribute},
    },
    LIBRARIES,
};

/// The most bytes of a text that travels.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Sends lines on, once somebody wants them.
pub(super) struct Lines {
    pub(super) queue: Arc<OnceLock<mpsc::Sender<LogRecord>>>,
    pub(super) counters: Arc<Counters>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let Some(queue) = self.queue.get() else { return };
        let target = event.metadata().target();
        let family = target.split("::").next().unwrap_or_default();
        // What sends a line must not make another one of it.
        if target == otlp::TARGET || LIBRARIES.contains(&family) {
            return;
        }
        let Ok(room) = queue.try_reserve() else {
            self.counters.count_dropped(Signal::Logs, Reason::QueueFull, 1);
            return;
        };
        room.send(record(event));
    }
}

fn record(event: &Event<'_>) -> LogRecord {
    let mut fields = Fields(LogRecord::default());
    event.record(&mut fields);
    let (level, now) = (*event.metadata().level(), cbs::now_ns());
    let mut record = fields.0;
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
    record.attributes.push(attribute("code.namespace", event.metadata().target()));
    record
}

/// The fields of an event, as a record takes them.
struct Fields(LogRecord);

impl Fields {
    fn take(&mut self, name: &str, mut text: String) {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        match name {
            "message" => self.0.body = Some(otlp::text(text)),
            "trace_id" => match u128::from_str_radix(&text, 16) {
                Ok(id) if text.len() == 32 => self.0.trace_id = id.to_be_bytes().to_vec(),
                _ => self.0.attributes.push(attribute(name, text)),
            },
            "id" => {
                if let Ok(id) = text.parse::<Uuid>() {
                    self.0.span_id = span_of(id).to_vec();
                }
                self.0.attributes.push(attribute("cbs.request.id", text));
            }
            "cell" => self.0.attributes.push(attribute("cbs.cell", text)),
            name => self.0.attributes.push(attribute(name, text)),
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
