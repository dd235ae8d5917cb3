//! The rows of the table, in groups.

mod cell;
mod control;
mod dart;
mod deploy;
mod exec;
mod flood;
mod flow;
mod guest;
mod here;
mod hog;
mod hops;
mod many;
mod plain;
mod process;
mod python;
mod telemetry;

use clap::ValueEnum;

use crate::{
    load::Sample,
    report::{Line, Spread},
    rounds::Rounds,
    stage::Bench,
};

/// Number of calls at once that shows the difference of two sides: both cores work all the time, so
/// the work of a call is compared. With one call at a time it would be the wake-up of threads.
const MANY: usize = 64;

/// A group of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// Raw against itself
    Control,
    /// A Rust cell over NATS
    Cell,
    /// A Rust cell called by a plain NATS client
    Plain,
    /// A Rust cell called in its own body
    Here,
    /// A flow of three steps
    Flow,
    /// `cbs up` as a process: memory and start
    Process,
    /// 10,000 cells in a body
    Many,
    /// A Python cell, beside nats-py and FastStream
    Python,
    /// A Python cell that keeps a processor busy, and its neighbours
    Hog,
    /// A Dart cell
    Dart,
    /// A Rust cell as a process of its own
    Exec,
    /// From Rust to each language and back
    Hops,
    /// A Rust cell whose calls are recorded
    Telemetry,
    /// Deploys to a fleet
    Deploy,
}

impl Row {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Cell => "cell",
            Self::Plain => "plain",
            Self::Here => "here",
            Self::Flow => "flow",
            Self::Process => "process",
            Self::Many => "many",
            Self::Python => "python",
            Self::Hog => "hog",
            Self::Dart => "dart",
            Self::Exec => "exec",
            Self::Hops => "hops",
            Self::Telemetry => "telemetry",
            Self::Deploy => "deploy",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Control => "raw against itself",
            Self::Cell => "a Rust cell over NATS",
            Self::Plain => "a Rust cell called by a plain NATS client",
            Self::Here => "a Rust cell called in its own body",
            Self::Flow => "a flow of three steps",
            Self::Process => "`cbs up` as a process",
            Self::Many => "10,000 cells in a body",
            Self::Python => "a Python cell, beside nats-py and FastStream",
            Self::Hog => "a Python cell that keeps a processor busy, and its neighbours",
            Self::Dart => "a Dart cell",
            Self::Exec => "a Rust cell as a process of its own",
            Self::Hops => "from Rust to each language and back",
            Self::Telemetry => "a Rust cell whose calls are recorded",
            Self::Deploy => "deploys to a fleet",
        }
    }

    /// Measures the group. A failed measurement becomes a line with the reason.
    pub(crate) fn measure(self, bench: &Bench) -> Vec<Line> {
        let measured = match self {
            Self::Control => control::measure(bench),
            Self::Cell => cell::measure(bench),
            Self::Plain => plain::measure(bench),
            Self::Here => here::measure(bench),
            Self::Flow => flow::measure(bench),
            Self::Process => Ok(process::measure(bench)),
            Self::Many => many::measure(bench),
            Self::Python => Ok(python::measure(bench)),
            Self::Hog => hog::measure(bench),
            Self::Dart => Ok(dart::measure(bench)),
            Self::Exec => Ok(exec::measure(bench)),
            Self::Hops => hops::measure(bench),
            Self::Telemetry => telemetry::measure(bench),
            Self::Deploy => Ok(deploy::measure(bench)),
        };
        let lines = measured.unwrap_or_else(|error| vec![Line::failed(self.about(), &error)]);
        lines.into_iter().map(|line| Line { row: self.name(), ..line }).collect()
    }
}

/// Returns the two lines of a comparison with raw: calls a second, with a note, and processor time.
fn against_raw(bench: &Bench, what: &str, note: impl Into<String>, rounds: Rounds) -> [Line; 2] {
    let speed = rounds.speed();
    let thrift = rounds.thrift();
    [
        Line::new(what, "× raw", speed).note(note).samples(rounds),
        Line::new(format!("{what}, CPU"), "× raw", thrift).note(bench.cpu_of()),
    ]
}

/// Returns the same two lines for calls over NATS; with one call at a time they are for
/// information.
fn over_nats(bench: &Bench, what: &str, size: usize, callers: usize, rounds: Rounds) -> [Line; 2] {
    let size = if size < 1024 { format!("{size} B") } else { format!("{} KiB", size / 1024) };
    if callers == 1 {
        let raw = p50(&rounds.base);
        let ours = p50(&rounds.ours);
        let note = format!(
            "for information: p50 raw {raw:.0} µs, CBS {ours:.0} µs (medians of the rounds)"
        );
        return against_raw(bench, &format!("{what}, {size}, one at a time"), note, rounds);
    }
    against_raw(bench, &format!("{what}, {size}, {callers} at once"), "", rounds)
}

/// Returns the median of the rounds' medians.
fn p50(samples: &[Sample]) -> f64 {
    let rounds: Vec<f64> = samples.iter().map(|sample| sample.p50_us).collect();
    Spread::of(&rounds).map_or(f64::NAN, |spread| spread.median)
}

/// Returns the lines, or one line with the reason of the failure.
fn or_failed(what: &str, found: anyhow::Result<Vec<Line>>) -> Vec<Line> {
    found.unwrap_or_else(|error| vec![Line::failed(what, &error)])
}
