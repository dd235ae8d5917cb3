//! A line that a cell logs, as an event of [`tracing`], with the same fields for every kind of
//! cell.
//!
//! The names of an event's fields are fixed when it is compiled. So the author's own fields are
//! together in the field [`OWN_FIELDS`], as a JSON object. The writer of the log takes them apart
//! with [`own_fields`].

use std::collections::BTreeMap;

use cbs::CellContext;
use serde_json::{Map, Value};
use tracing::{Level, field::display};

use crate::proto;

/// Name of the event's field that holds the author's own fields.
pub const OWN_FIELDS: &str = "cbs.fields";
/// Name of the field that holds the number of fields that were left out of a line.
pub const LEFT_OUT: &str = "fields_left_out";
/// Limit of the number of the author's own fields of a line.
pub const FIELDS_MAX: usize = 32;
/// Limit of a field's name in bytes. A field with a longer one is left out.
pub const KEY_BYTES_MAX: usize = 64;
/// Limit of a message or a field's value in bytes. A longer text is cut.
pub const TEXT_BYTES_MAX: usize = 8 * 1024 + 256;
/// Limit of all fields of a line together, in bytes. A field that does not fit is left out.
const FIELDS_BYTES_MAX: usize = 16 * 1024;
/// Names of a line's other fields. An author's field of such a name gets the prefix `extra_`.
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
/// Name of the field that holds an exception. The body has a field for it, so it does not count
/// against the limits.
const EXCEPTION: &str = "exception";

/// True if the log shows lines of this level.
#[must_use]
pub fn is_shown(level: proto::Level) -> bool {
    match level {
        proto::Level::Error => tracing::enabled!(target: "cbs::cell", Level::ERROR),
        proto::Level::Warn => tracing::enabled!(target: "cbs::cell", Level::WARN),
        proto::Level::Info => tracing::enabled!(target: "cbs::cell", Level::INFO),
        proto::Level::Debug => tracing::enabled!(target: "cbs::cell", Level::DEBUG),
    }
}

/// Writes a line of a cell, with the ids of the call that it belongs to. Ignores `within`.
pub fn write(line: &proto::Log, cell: &str, context: Option<&CellContext>) {
    let id = context.map(|context| display(context.id()));
    let correlation_id = context.map(|context| display(context.correlation_id()));
    let trace_id = context.map(|context| display(context.trace().id()));
    let logger = (!line.logger.is_empty()).then_some(display(&line.logger));
    let exception = line
        .fields
        .iter()
        .find(|field| field.key == EXCEPTION)
        .map(|field| display(cut(&field.value)));
    let fields = bounded(&line.fields).map(display);
    let message = cut(&line.message);
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

/// Returns the author's own fields from the text of [`OWN_FIELDS`]; `None` if it is another text.
#[must_use]
pub fn own_fields(text: &str) -> Option<Vec<(String, String)>> {
    let fields: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    Some(fields.into_iter().collect())
}

/// Returns the fields that fit into a line, without the exception, as a JSON object; `None` if
/// there are none. Fields that are bounded already stay as they are.
fn bounded(fields: &[proto::Field]) -> Option<String> {
    let mut kept = Map::new();
    let mut bytes = 0;
    let mut left_out = 0_u64;
    for proto::Field { key, value } in fields.iter().filter(|field| field.key != EXCEPTION) {
        if key == LEFT_OUT {
            left_out = left_out.saturating_add(value.parse().unwrap_or(1));
            continue;
        }
        let is_taken = TAKEN.contains(&key.as_str()) || key.starts_with("cbs.");
        let (key, value) =
            (if is_taken { format!("extra_{key}") } else { key.clone() }, cut(value));
        let size = key.len() + value.len();
        let fits = kept.len() < FIELDS_MAX
            && key.len() <= KEY_BYTES_MAX
            && bytes + size <= FIELDS_BYTES_MAX;
        if key.is_empty() || !fits || kept.contains_key(&key) {
            left_out = left_out.saturating_add(1);
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
