//! Benchmark of CBS beside raw async-nats: both in one binary, in turns, as ratios with ranges.
//!
//! ```text
//! make bench                                # all rows; the table on stdout, target/bench.json beside it
//! make bench ARGS="--quick --only cell"     # one row, to see that it works
//! ```
//!
//! README.md explains each row and the noise.
//!
//! # Layout
//!
//! - `arguments`: the command line. `machine`: the machine that the figures were measured on.
//! - `stage`: the server, a namespace for each body, the raw side. `hosting`, `cells`: the CBS
//!   side, as `cbs up` wires it.
//! - `load`, `rounds`, `cpu`: many calls at once, both sides in turns, their processor time.
//! - `caller`, `driver`: cells that call others, from another body and in the same one.
//! - `program`, `abroad`: processes of `cbs up`. `fleet`: bodies to deploy to. `memory`: memory of
//!   processes.
//! - `guests`: cells in other languages.
//! - `peers`: answerers that are not CBS.
//! - `rows`: one file for each group of rows. `report`, `table`: their results.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a person")]

mod abroad;
mod arguments;
mod caller;
mod cells;
mod cpu;
mod driver;
mod fleet;
mod guests;
mod hosting;
mod load;
mod machine;
mod memory;
mod peers;
mod program;
mod report;
mod rounds;
mod rows;
mod stage;
mod table;

use std::{fs, process::ExitCode, time::Instant};

use anyhow::Context as _;
use clap::Parser as _;

use crate::{arguments::Arguments, machine::Machine, report::Report, stage::Bench};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A child of this program is `cbs` with many cells linked in: see `program`.
    if let Some(cells) = program::cells_to_link() {
        return body::main_with(cells);
    }
    let done = if let Some(cells) = guests::cells_to_serve() {
        sidecar::serve_blocking(cells).map_err(Into::into)
    } else if let Some((url, subject)) = stage::to_answer() {
        stage::answer_here(&url, subject)
    } else {
        run(&Arguments::parse())
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let bench = Bench::open(arguments)?;
    let machine = Machine::read(&bench.server_version);
    eprintln!("{machine}");
    let mut report = Report {
        machine,
        rounds: bench.rounds,
        seconds: bench.length.as_secs_f64(),
        lines: Vec::new(),
    };
    for row in arguments.rows() {
        let began = Instant::now();
        eprint!("{:<8} {} … ", row.name(), row.about());
        let lines = row.measure(&bench);
        let missing = lines.iter().filter(|line| line.failed.is_some()).count();
        let outcome =
            if missing == 0 { "done".to_owned() } else { format!("{missing} not measured") };
        eprintln!("{outcome}, {:.0} s", began.elapsed().as_secs_f64());
        report.lines.extend(lines);
    }
    println!("{}", table::text(&report));
    if let Some(folder) = arguments.json.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let json = serde_json::to_string_pretty(&report.to_json())?;
    fs::write(&arguments.json, json)
        .with_context(|| format!("{} cannot be written", arguments.json.display()))?;
    eprintln!("every round: {}", arguments.json.display());
    Ok(())
}
