//! What came of the rows.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{machine::Machine, rounds::Rounds};

/// All that a run found.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) lines: Vec<Line>,
}

/// One line of the table: one figure, of several rounds.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    /// The row that it belongs to.
    pub(crate) row: &'static str,
    /// The figure of each round.
    pub(crate) rounds: Vec<f64>,
    pub(crate) target: Option<Target>,
    /// What a reader must know to read it right.
    pub(crate) note: String,
    /// Why there is no figure.
    pub(crate) failed: Option<String>,
    /// What the figures were made of.
    pub(crate) samples: Option<Rounds>,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// So much or more, and what is hoped for.
    AtLeast { figure: f64, aim: Option<f64> },
    /// So much or less.
    AtMost { figure: f64 },
}

/// Median, least and most of some figures; none of none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.iter().copied().filter(|figure| figure.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted.get((sorted.len() - 1) / 2)?, sorted.get(sorted.len() / 2)?);
        Some(Self { median: f64::midpoint(*low, *high), min, max })
    }
}

impl Line {
    /// A figure of several rounds.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, rounds: Vec<f64>) -> Self {
        Self { what: what.into(), unit, rounds, ..Self::default() }
    }

    /// No figure, and why.
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

    /// Whether the median reaches the target, if there are both.
    pub(crate) fn reached(&self) -> Option<bool> {
        let median = Spread::of(&self.rounds)?.median;
        self.target.map(|target| match target {
            Target::AtLeast { figure, .. } => median >= figure,
            Target::AtMost { figure } => median <= figure,
        })
    }

    /// Whether the median reaches what is hoped for.
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
