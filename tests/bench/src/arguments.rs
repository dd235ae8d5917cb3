//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum as _};

use crate::rows::Row;

/// CBS beside raw async-nats: prints ratios with ranges, and writes every round as JSON.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub(crate) struct Arguments {
    /// Number of rounds of each row [default: 7; quick: 2]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: Option<u16>,
    /// Time of each side of a round, in seconds [default: 1.5; quick: 0.2]
    #[arg(long, value_parser = seconds)]
    seconds: Option<Duration>,
    /// Measure only these rows
    #[arg(long, value_name = "ROW", value_delimiter = ',', num_args = 1..)]
    only: Vec<Row>,
    /// Short rounds: show that all works; the figures are noise
    #[arg(long)]
    quick: bool,
    /// A server that runs already [default: the bench starts its own]
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// File for the figures of every round
    #[arg(long, value_name = "PATH", default_value = "target/bench.json")]
    pub(crate) json: PathBuf,
}

impl Arguments {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.map_or(if self.quick { 2 } else { 7 }, usize::from)
    }

    /// Time of each side of a round.
    pub(crate) fn length(&self) -> Duration {
        self.seconds.unwrap_or(Duration::from_millis(if self.quick { 200 } else { 1500 }))
    }

    /// The rows to measure, in the order of the table.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        let wanted = |row: &&Row| self.only.is_empty() || self.only.contains(row);
        Row::value_variants().iter().filter(wanted).copied()
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.parse().map_err(|_| "a number of seconds is wanted, such as 1.5".to_owned())?;
    if (0.01..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("from 0.01 to 3600".to_owned())
    }
}
