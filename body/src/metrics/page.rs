//! Text for scrapers: Prometheus' format 0.0.4 and OpenMetrics 1.0.
//!
//! It is written by hand because one body may report 10,000 cells, which are 300,000 lines, and
//! both formats are needed. <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>

use std::fmt::{self, Display, Write as _};

use super::exemplars::Exemplar;

/// Kind of format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The format that every Prometheus reads.
    Prometheus,
    /// The same with units and exemplars.
    OpenMetrics,
}

impl Form {
    /// Returns the media type of a page in this format.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Kind of numbers of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows; its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
    /// Always 1: the labels hold the information. Its name ends in `_info`.
    Info,
}

/// Page that is written family by family.
pub(super) struct Page {
    form: Form,
    text: String,
    /// Name of the present family, whose samples follow.
    name: &'static str,
}

impl Page {
    /// Creates an empty page, with space for this number of bytes.
    pub(super) fn new(form: Form, capacity: usize) -> Self {
        Self { form, text: String::with_capacity(capacity), name: "" }
    }

    /// Begins a family. `name` is that of its samples.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.name = name;
        let (ending, kind, kind_before) = match kind {
            Kind::Counter => ("_total", "counter", "counter"),
            Kind::Gauge => ("", "gauge", "gauge"),
            Kind::Histogram => ("", "histogram", "histogram"),
            // The older format has no such kind.
            Kind::Info => ("_info", "info", "gauge"),
        };
        match self.form {
            Form::Prometheus => {
                self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind_before}\n"));
            }
            Form::OpenMetrics => {
                let family = name.strip_suffix(ending).unwrap_or(name);
                self.write(format_args!("# TYPE {family} {kind}\n"));
                if let Some(unit) =
                    ["seconds", "bytes"].into_iter().find(|unit| family.ends_with(unit))
                {
                    self.write(format_args!("# UNIT {family} {unit}\n"));
                }
                self.write(format_args!("# HELP {family} {help}\n"));
            }
        }
    }

    /// Writes a sample. `labels` is the text between the braces.
    pub(super) fn sample(&mut self, labels: &str, value: impl Into<Value>) {
        self.begin("", labels);
        self.end(value.into());
    }

    /// Writes a sample with one more label, whose value needs no escaping.
    pub(super) fn sample_of(&mut self, labels: &str, more: (&str, &str), value: u64) {
        self.push(&[
            self.name,
            "{",
            labels,
            if labels.is_empty() { "" } else { "," },
            more.0,
            "=\"",
            more.1,
            "\"} ",
        ]);
        self.end(Value::Whole(value));
    }

    /// Writes a family that is one number.
    pub(super) fn one(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &str,
        value: impl Into<Value>,
    ) {
        self.family(name, kind, help);
        self.sample("", value);
    }

    /// Writes a bucket of a histogram: the number of calls that took no longer than `end`, in
    /// seconds.
    pub(super) fn bucket(
        &mut self,
        labels: &str,
        end: &str,
        count: u64,
        exemplar: Option<&Exemplar>,
    ) {
        self.push(&[self.name, "_bucket{", labels, ",le=\"", end, "\"} "]);
        match exemplar.filter(|_| self.form == Form::OpenMetrics) {
            None => self.end(Value::Whole(count)),
            Some(exemplar) => self.write(format_args!("{count} # {exemplar}\n")),
        }
    }

    /// Writes the end of a histogram: its sum and its count.
    pub(super) fn sum_and_count(&mut self, labels: &str, sum: Seconds, count: u64) {
        self.begin("_sum", labels);
        self.end(Value::Time(sum));
        self.begin("_count", labels);
        self.end(Value::Whole(count));
    }

    /// Returns the whole page.
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

    /// Writes a value. Most of them are whole numbers, which are written without the slower
    /// formatting.
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
        // Writing to memory cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

/// Value of a sample.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Whole(u64),
    Time(Seconds),
}

/// Nanoseconds, written as seconds without rounding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds(pub(super) u64);

/// One second in nanoseconds.
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
    /// Converts true to 1 and false to 0.
    fn from(yes: bool) -> Self {
        Self::Whole(u64::from(yes))
    }
}

impl From<Seconds> for Value {
    fn from(time: Seconds) -> Self {
        Self::Time(time)
    }
}

/// Returns the last digit of a number.
fn digit(number: u64) -> char {
    char::from(b'0' + u8::try_from(number % 10).unwrap_or(0))
}

/// Returns `name="value"` pairs with commas between them; values are escaped.
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
