//! Forms of a line. In both, the fields that a cell's author added to a line are beside the body's
//! own fields.

use std::fmt;

use host_sidecar::log;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// Form with one JSON object on each line: `timestamp`, `level`, `fields` and `target`, with the
/// names that `tracing_subscriber`'s own form gives them. Its `span` and `spans` are left out: only
/// libraries and Rust cells open such spans, and a line of a cell names its call by its ids.
pub(super) struct Json;

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static>
    FormatEvent<S, N> for Json
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        let metadata = event.metadata();
        let logged = fields.of_log();
        let target = logged.as_deref().unwrap_or(metadata.target());
        let line = Line { timestamp, level: metadata.level().as_str(), fields, target };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    fields: Fields,
    target: &'a str,
}

/// Fields with which `tracing-log` names the source of a line, besides its target.
const OF_LOG: [&str; 3] = ["log.module_path", "log.file", "log.line"];

/// Fields in their order. If a name is there already, its first value stays.
struct Fields(Vec<(String, Value)>);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Fields {
    fn take(&mut self, name: &str, value: Value) {
        let own = value.as_str().filter(|_| name == log::OWN_FIELDS).and_then(log::own_fields);
        match own {
            Some(own) => own.into_iter().for_each(|(key, text)| self.take(&key, text.into())),
            None if self.0.iter().any(|(there, _)| there == name) => {}
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

impl Fields {
    /// Removes the fields that name the source of a line of the crate `log`, and returns its
    /// target.
    fn of_log(&mut self) -> Option<String> {
        let at = self.0.iter().position(|(name, _)| name == "log.target")?;
        let (_, target) = self.0.remove(at);
        self.0.retain(|(name, _)| !OF_LOG.contains(&name.as_str()));
        Some(text(target))
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field.name(), format!("{value:?}").into());
    }
}

/// Form for persons: the message, ` key=value` of each field, and an exception on lines of its own.
pub(super) struct Plain;

impl<'a> FormatFields<'a> for Plain {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'a>, fields: R) -> fmt::Result {
        let mut read = Fields(Vec::new());
        fields.record(&mut read);
        read.of_log();
        let mut take = |name| {
            read.0.extract_if(.., |(there, _)| there == name).next().map(|(_, value)| text(value))
        };
        let message = take("message").unwrap_or_default();
        let exception = take("exception");
        write!(writer, "{}", sanitize_lines(&message))?;
        for (name, value) in read.0 {
            let name = sanitize_lines(&name);
            let value = word(text(value));
            if writer.has_ansi_escapes() {
                write!(writer, " \x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}")?;
            } else {
                write!(writer, " {name}={value}")?;
            }
        }
        exception.map_or(Ok(()), |exception| write!(writer, "\n{}", sanitize_lines(&exception)))
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Returns a value as one word: in quotation marks if it is not one.
fn word(text: String) -> String {
    let is_word = !text.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
    if is_word { text } else { format!("{text:?}") }
}

/// Returns the text without control characters that a terminal obeys, but for ends of lines and
/// tabs: a message may have several lines.
fn sanitize_lines(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { cbs::sanitize_char(c) }).collect()
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
