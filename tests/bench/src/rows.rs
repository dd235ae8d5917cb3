//! The rows of the table, in groups.

mod bare;
mod cell;
mod control;
mod flow;
mod here;
mod many;
mod process;

use clap::ValueEnum;

use crate::{report::Line, rounds::Rounds, stage::Bench};

/// How many calls at once tell two sides apart: both cores are at work all the time, and what
/// is compared is the work of a call. With one at a time it is the waking of threads.
const MANY: usize = 64;

/// A group of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// Raw against itself
    Control,
    /// A Rust cell over NATS
    Cell,
    /// A Rust cell called by a plain NATS client
    Bare,
    /// A Rust cell called in its own body
    Here,
    /// A flow of three steps
    Flow,
    /// `cbs up` as a process: memory and start
    Process,
    /// 10,000 cells in a body
    Many,
}

impl Row {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Cell => "cell",
            Self::Bare => "bare",
            Self::Here => "here",
            Self::Flow => "flow",
            Self::Process => "process",
            Self::Many => "many",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Control => "raw against itself",
            Self::Cell => "a Rust cell over NATS",
            Self::Bare => "a Rust cell called by a plain NATS client",
            Self::Here => "a Rust cell called in its own body",
            Self::Flow => "a flow of three steps",
            Self::Process => "`cbs up` as a process",
            Self::Many => "10,000 cells in a body",
        }
    }

    /// Measures the group. What cannot be measured becomes a line that says why.
    pub(crate) fn measure(self, bench: &Bench) -> Vec<Line> {
        let measured = match self {
            Self::Control => control::measure(bench),
            Self::Cell => cell::measure(bench),
            Self::Bare => bare::measure(bench),
            Self::Here => here::measure(bench),
            Self::Flow => flow::measure(bench),
            Self::Process => Ok(process::measure(bench)),
            Self::Many => many::measure(bench),
        };
        let lines = measured.unwrap_or_else(|error| vec![Line::failed(self.about(), &error)]);
        lines.into_iter().map(|line| Line { row: self.name(), ..line }).collect()
    }
}

/// The two lines of a comparison with raw: calls a second, with a note, and processor time.
fn against_raw(bench: &Bench, what: &str, note: impl Into<String>, rounds: Rounds) -> [Line; 2] {
    let (speed, thrift) = (rounds.speed(), rounds.thrift());
    [
        Line::new(what, "× raw", speed).note(note).samples(rounds),
        Line::new(format!("{what}, CPU"), "× raw", thrift).note(bench.cpu_of()),
    ]
}
