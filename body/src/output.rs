//! Output of the program: data on standard output, everything else on standard error.
//!
//! Colour goes through anstream, which leaves it out if the stream is no terminal or `NO_COLOR` is
//! set. Colour never carries a meaning that the text does not have.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
pub(crate) use cbs::sanitize;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Style of table heads, and of the text that a person looks for first.
pub(crate) const BOLD: Style = Style::new().bold();
/// Style of text that may be overlooked.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// Style of a good state.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Style of text that needs attention.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Style of an error.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Form of the text on standard output: for a person, or for a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Human,
    Json,
}

/// Writes lines to standard output. A reader that has closed the pipe (`cbs ls | head -1`) is no
/// error.
pub(crate) fn print(text: impl std::fmt::Display) -> io::Result<()> {
    print_on(text).map(drop)
}

/// Writes like `print`, for a command that writes again and again. Returns `false` if the reader
/// has closed the pipe.
pub(crate) fn print_on(text: impl std::fmt::Display) -> io::Result<bool> {
    let mut stdout = anstream::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        done => done.map(|()| true),
    }
}

/// Writes bytes unchanged, and ends the line.
pub(crate) fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(bytes)
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Writes a value as JSON to standard output, on several lines.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(serde_json::to_string_pretty(value)?)
}

/// Writes a line to standard error. A missing reader is no error.
pub(crate) fn report(line: impl std::fmt::Display) {
    // After what was logged before.
    crate::telemetry::settle();
    let mut stderr = anstream::stderr().lock();
    let _ = writeln!(stderr, "{line}").and_then(|()| stderr.flush());
}

/// Writes `warning: …` to standard error.
pub(crate) fn warn(line: impl std::fmt::Display) {
    report(format_args!("{WARNING}warning:{WARNING:#} {line}"));
}

/// Writes `error: …` to standard error.
pub(crate) fn error(line: impl std::fmt::Display) {
    report(format_args!("{BAD}error:{BAD:#} {line}"));
}

/// Formats a table whose columns are as wide as their content. Control characters in the cells are
/// replaced, so a value from another program stays on its line and cannot control the terminal.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .force_no_tty()
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.map(str::to_uppercase));
    for row in rows {
        table.add_row(row.map(|text| sanitize(&text)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    if let Some(first) = lines.first_mut() {
        *first = format!("{BOLD}{first}{BOLD:#}");
    }
    lines.join("\n")
}

/// Returns the width of the terminal at standard output; 80 if it is no terminal.
pub(crate) fn width() -> usize {
    terminal_size::terminal_size_of(io::stdout()).map_or(80, |(width, _)| usize::from(width.0))
}

/// Returns the width of the terminal at standard error; 80 if it is no terminal.
pub(crate) fn width_of_errors() -> usize {
    terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0))
}

/// Formats a duration with three digits and a unit: `0.8 ms`, `12 ms`, `1.5 s`.
pub(crate) fn short(duration: std::time::Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    let (value, unit) = match micros {
        ..1e3 => (micros, "µs"),
        ..1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {unit}")
}

/// Formats a moment as RFC 3339 in UTC, to the millisecond: `2026-11-21T10:07:00.000Z`.
pub(crate) fn moment(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// Formats a number with its noun: `1 mistake`, `2 mistakes`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
