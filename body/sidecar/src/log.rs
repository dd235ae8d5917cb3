//! A line that a cell logs, as an event of [`tracing`]: the same fields whichever way it came to the body.
//!
//! The names of an event's fields are fixed when it is compiled. Fields of an author's own therefore travel together
//! in the field [`OWN_FIELDS`], as a JSON object, and whatever writes the log takes them apart with [`own_fields`].

use std::collections::BTreeMap;

use cbs::CellContext;
use serde_json::{Map, Value};
use tracing::{Level, field::display};

use crate::proto;

/// Name of the event's field that holds the author's own fields.
pub const OWN_FIELDS: &str = "cbs.fields";
/// Name of the field that says how many fields of a line were left out.
pub const LEFT_OUT: &str = "fields_left_out";
/// The most fields of an author's own that a line has.
pub const FIELDS_MAX: usize = 32;
/// The most bytes of a field's name; a field with a longer one is left out.
pub const KEY_BYTES_MAX: usize = 64;
/// The most bytes of a message or a field's value; what is longer is cut.
pub const TEXT_BYTES_MAX: usize = 8 * 1024 + 256;
/// The most bytes of all fields of a line together; a field that finds no room is left out.
const FIELDS_BYTES_MAX: usize = 16 * 1024;
/// Names that a line's other fields have. An author's field of such a name gets `extra_` before it.
const TAKEN: [&str; 12] = [
    "cell",
    "correlation_id",
    "fields",
    "id",
    "level",
    "logger",
    "message",
    "span",
    "spans",
    "target",
    "timestamp",
    "trace_id",
];
/// Name of the field that holds an exception, which is one of the body's own: it is not left out for others.
const EXCEPTION: &str = "exception";

/// Whether the log shows lines of this level.
#[must_use]
pub fn is_shown(level: proto::Level) -> bool {
    match level {
        proto::Level::Error => tracing::enabled!(target: "cbs::cell", Level::ERROR),
        proto::Level::Warn => tracing::enabled!(target: "cbs::cell", Level::WARN),
        proto::Level::Info => tracing::enabled!(target: "cbs::cell", Level::INFO),
        proto::Level::Debug => tracing::enabled!(target: "cbs::cell", Level::DEBUG),
    }
}

/// Writes a line of a cell, with the ids of the call that it belongs to. `within` is not read.
pub fn write(line: &proto::Log, cell: &str, context: Option<&CellContext>) {
    let id = context.map(|context| display(context.id()));
    let correlation_id = context.map(|context| display(context.correlation_id()));
    let trace_id = context.map(|context| display(context.trace().id()));
    let logger = (!line.logger.is_empty()).then_some(display(&line.logger));
    let exception = line.fields.iter().find(|field| field.key == EXCEPTION).map(|field| display(cut(&field.value)));
    let (fields, message) = (bounded(&line.fields).map(display), cut(&line.message));
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                target: "cbs::cell",
                cell = %cell,
                id,
                correlation_id,
                trace_id,
                logger,
                { OWN_FIELDS } = fields,
                exception,
                "{message}"
            )
        };
    }
    match line.level() {
        proto::Level::Error => say!(error),
        proto::Level::Warn => say!(warn),
        proto::Level::Info => say!(info),
        proto::Level::Debug => say!(debug),
    }
}

/// The author's own fields out of the text of [`OWN_FIELDS`]; `None` for a text of something else.
#[must_use]
pub fn own_fields(text: &str) -> Option<Vec<(String, String)>> {
    let fields: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    Some(fields.into_iter().collect())
}

/// The fields that a line has room for, but for the exception, as a JSON object; `None` where there are none. What is bounded already
/// stays as it is.
fn bounded(fields: &[proto::Field]) -> Option<String> {
    let (mut kept, mut bytes, mut left_out) = (Map::new(), 0, 0_u64);
    for proto::Field { key, value } in fields.iter().filter(|field| field.key != EXCEPTION) {
        if key == LEFT_OUT {
            left_out += value.parse().unwrap_or(0);
            continue;
        }
        let is_taken = TAKEN.contains(&key.as_str()) || key.starts_with("cbs.");
        let (key, value) = (if is_taken { format!("extra_{key}") } else { key.clone() }, cut(value));
        let size = key.len() + value.len();
        let fits = kept.len() < FIELDS_MAX && key.len() <= KEY_BYTES_MAX && bytes + size <= FIELDS_BYTES_MAX;
        if key.is_empty() || !fits || kept.contains_key(&key) {
            left_out += 1;
        } else {
            bytes += size;
            kept.insert(key, value.into());
        }
    }
    if left_out > 0 {
        kept.insert(LEFT_OUT.to_owned(), left_out.to_string().into());
    }
    (!kept.is_empty()).then(|| Value::Object(kept).to_string())
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
