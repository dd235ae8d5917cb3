//! Results of the rows.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{machine::Machine, rounds::Rounds};

/// All results of a run.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) lines: Vec<Line>,
}

/// One line of the table: one figure, measured in several rounds.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    /// The row that it belongs to.
    pub(crate) row: &'static str,
    /// The figure of each round.
    pub(crate) rounds: Vec<f64>,
    pub(crate) target: Option<Target>,
    /// Explanation that a reader needs.
    pub(crate) note: String,
    /// Reason why there is no figure.
    pub(crate) failed: Option<String>,
    /// Samples that the figures were computed from.
    pub(crate) samples: Option<Rounds>,
}

/// Target of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// The figure or more; `aim` is a higher figure that is hoped for.
    AtLeast { figure: f64, aim: Option<f64> },
    /// The figure or less.
    AtMost { figure: f64 },
}

/// Median, minimum and maximum of some figures; nothing if there are no figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> =
            figures.iter().copied().filter(|figure| figure.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let min = *sorted.first()?;
        let max = *sorted.last()?;
        let low = sorted.get((sorted.len() - 1) / 2)?;
        let high = sorted.get(sorted.len() / 2)?;
        Some(Self { median: f64::midpoint(*low, *high), min, max })
    }
}

impl Line {
    /// Makes a line of several rounds.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, rounds: Vec<f64>) -> Self {
        Self { what: what.into(), unit, rounds, ..Self::default() }
    }

    /// Makes a line without a figure, with the reason.
    pub(crate) fn failed(what: impl Into<String>, error: &anyhow::Error) -> Self {
        Self { what: what.into(), failed: Some(format!("{error:#}")), ..Self::default() }
    }

    pub(crate) fn at_least(self, figure: f64, aim: Option<f64>) -> Self {
        Self { target: Some(Target::AtLeast { figure, aim }), ..self }
    }

    pub(crate) fn at_most(self, figure: f64) -> Self {
        Self { target: Some(Target::AtMost { figure }), ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    pub(crate) fn samples(self, samples: Rounds) -> Self {
        Self { samples: Some(samples), ..self }
    }

    /// True if the median reaches the target; `None` if one of them is missing.
    pub(crate) fn reached(&self) -> Option<bool> {
        let median = Spread::of(&self.rounds)?.median;
        self.target.map(|target| match target {
            Target::AtLeast { figure, .. } => median >= figure,
            Target::AtMost { figure } => median <= figure,
        })
    }

    /// True if the median reaches the aim.
    pub(crate) fn reached_aim(&self) -> bool {
        match (self.target, Spread::of(&self.rounds)) {
            (Some(Target::AtLeast { aim: Some(aim), .. }), Some(spread)) => spread.median >= aim,
            _ => false,
        }
    }

    fn to_json(&self) -> Value {
        let spread = Spread::of(&self.rounds);
        json!({
            "row": self.row,
            "what": self.what,
            "unit": self.unit,
            "median": spread.map(|spread| spread.median),
            "min": spread.map(|spread| spread.min),
            "max": spread.map(|spread| spread.max),
            "rounds": self.rounds,
            "target": self.target,
            "reached": self.reached(),
            "note": self.note,
            "failed": self.failed,
            "samples": self.samples,
        })
    }
}

impl Report {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "machine": self.machine,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "rows": self.lines.iter().map(Line::to_json).collect::<Vec<_>>(),
        })
    }
}
