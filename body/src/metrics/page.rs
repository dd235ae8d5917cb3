//! The text that is scraped: Prometheus' format 0.0.4 and OpenMetrics 1.0.
//!
//! Written by hand: one body may tell of 10,000 cells, which are 300,000 lines, and both formats are wanted.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>

use std::fmt::{self, Display, Write as _};

use super::exemplars::Exemplar;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// What every Prometheus reads.
    Prometheus,
    /// The same with units and exemplars.
    OpenMetrics,
}

impl Form {
    /// The media type of such a page.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What kind of numbers a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows; its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
    /// Always 1: the labels are what it tells. Its name ends in `_info`.
    Info,
}

/// A page that is being written, family by family.
pub(super) struct Page {
    form: Form,
    text: String,
    /// Of the family whose samples come now.
    name: &'static str,
}

impl Page {
    /// An empty page, with room for so many bytes.
    pub(super) fn new(form: Form, room: usize) -> Self {
        Self { form, text: String::with_capacity(room), name: "" }
    }

    /// Begins a family; `name` is that of its samples.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.name = name;
        let (ending, kind, kind_before) = match kind {
            Kind::Counter => ("_total", "counter", "counter"),
            Kind::Gauge => ("", "gauge", "gauge"),
            Kind::Histogram => ("", "histogram", "histogram"),
            // The older format knows no such kind.
            Kind::Info => ("_info", "info", "gauge"),
        };
        match self.form {
            Form::Prometheus => self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind_before}\n")),
            Form::OpenMetrics => {
                let family = name.strip_suffix(ending).unwrap_or(name);
                self.write(format_args!("# TYPE {family} {kind}\n"));
                if let Some(unit) = ["seconds", "bytes"].into_iter().find(|unit| family.ends_with(unit)) {
                    self.write(format_args!("# UNIT {family} {unit}\n"));
                }
                self.write(format_args!("# HELP {family} {help}\n"));
            }
        }
    }

    /// A sample; `labels` as they stand between the braces.
    pub(super) fn sample(&mut self, labels: &str, value: impl Into<Value>) {
        self.begin("", labels);
        self.end(value.into());
    }

    /// A sample with one more label, whose value needs no escaping.
    pub(super) fn sample_of(&mut self, labels: &str, more: (&str, &str), value: u64) {
        self.push(&[self.name, "{", labels, if labels.is_empty() { "" } else { "," }, more.0, "=\"", more.1, "\"} "]);
        self.end(Value::Whole(value));
    }

    /// A family that is one number.
    pub(super) fn one(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Into<Value>) {
        self.family(name, kind, help);
        self.sample("", value);
    }

    /// A bucket of a histogram: how many calls took no longer than `end`, in seconds.
    pub(super) fn bucket(&mut self, labels: &str, end: &str, count: u64, exemplar: Option<&Exemplar>) {
        self.push(&[self.name, "_bucket{", labels, ",le=\"", end, "\"} "]);
        match exemplar.filter(|_| self.form == Form::OpenMetrics) {
            None => self.end(Value::Whole(count)),
            Some(exemplar) => self.write(format_args!("{count} # {exemplar}\n")),
        }
    }

    /// What closes a histogram.
    pub(super) fn sum_and_count(&mut self, labels: &str, sum: Seconds, count: u64) {
        self.begin("_sum", labels);
        self.end(Value::Time(sum));
        self.begin("_count", labels);
        self.end(Value::Whole(count));
    }

    /// The whole page.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text.into_bytes()
    }

    fn begin(&mut self, ending: &str, labels: &str) {
        if labels.is_empty() {
            self.push(&[self.name, ending, " "]);
        } else {
            self.push(&[self.name, ending, "{", labels, "} "]);
        }
    }

    /// Most of a page are whole numbers: written without the detour of formatting.
    fn end(&mut self, value: Value) {
        match value {
            Value::Whole(number) => self.digits(number),
            Value::Time(Seconds(ns)) => {
                self.digits(ns / SECOND);
                self.text.push('.');
                let mut place = SECOND / 10;
                while place > 0 {
                    self.text.push(digit(ns / place));
                    place /= 10;
                }
            }
        }
        self.text.push('\n');
    }

    fn digits(&mut self, number: u64) {
        if number >= 10 {
            self.digits(number / 10);
        }
        self.text.push(digit(number));
    }

    fn push(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.text.push_str(part));
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        // Memory takes all.
        let _ = self.text.write_fmt(text);
    }
}

/// What a sample is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Whole(u64),
    Time(Seconds),
}

/// Nanoseconds, written as seconds without rounding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds(pub(super) u64);

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / SECOND, self.0 % SECOND)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Whole(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<bool> for Value {
    /// A yes or no, as 1 or 0.
    fn from(yes: bool) -> Self {
        Self::Whole(u64::from(yes))
    }
}

impl From<Seconds> for Value {
    fn from(time: Seconds) -> Self {
        Self::Time(time)
    }
}

/// The last digit of a number.
fn digit(number: u64) -> char {
    char::from(b'0' + u8::try_from(number % 10).unwrap_or(0))
}

/// `name="value"` pairs with commas between them; values are escaped.
pub(super) fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
