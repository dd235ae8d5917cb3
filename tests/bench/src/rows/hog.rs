//! A Python cell that keeps a processor busy, and its effect on other cells of the body: with
//! `isolation: process`; for information also without it, and beside a process outside the body.

use std::{process::Stdio, time::Duration};

use bytes::Bytes;
use cbs::Target;
use tokio::{process::Command, time::sleep};

use crate::{
    abroad::Abroad,
    cells::{self, TYPED},
    guests::{self, PYTHON},
    load::{Load, Sample},
    program::Program,
    report::Line,
    rounds::{self, Rounds, Side},
    rows::guest::ASKED,
    stage::Bench,
};

const ISOLATED: &str = "bench.hog";
const SHARED: &str = "bench.hog_inside";
/// Number of callers; each pauses before each call. So the processors have time to spare, else only
/// the hog's share of them would be measured.
const CALLERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(2);
/// Time that the hog runs before and after the measurement.
const AROUND: Duration = Duration::from_millis(100);
const NOTE: &str = "p99 with the hog by p99 without; 4 callers with pauses of 2 ms, so that there is a processor to spare; \
                    over NATS";
const STRANGER: &str = "for information: beside a shell that spins, started by nobody's body: what the machine itself does";
const INSIDE: &str = "for information: the same cell without `isolation: process`: all Python of a body shares one lock";

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let specs = [
        cells::specs([TYPED], ""),
        guests::python(PYTHON, "echo.py:echo", ""),
        guests::python(ISOLATED, "hog.py:hog", "  timeout: 5m\n  isolation: process\n"),
        guests::python(SHARED, "hog.py:hog", "  timeout: 5m\n"),
    ];
    let asked = [(TYPED, ASKED), (PYTHON, ASKED), (ISOLATED, "0"), (SHARED, "0")];
    bench.runtime.block_on(async {
        let abroad =
            Abroad::start(bench, &Program::with_driver()?, &specs.concat(), &asked).await?;
        let hall = Hall { abroad, payload: cells::payload(128) };
        let mut lines = Vec::new();
        for (what, cell) in [("a Rust cell", TYPED), ("a Python cell", PYTHON)] {
            lines.extend(hall.neighbour(bench, what, cell).await?);
        }
        hall.abroad.stop().await?;
        Ok(lines)
    })
}

/// The body of the hog and its neighbours.
struct Hall {
    abroad: Abroad,
    payload: Bytes,
}

impl Hall {
    async fn neighbour(&self, bench: &Bench, what: &str, cell: &str) -> anyhow::Result<Vec<Line>> {
        let target: Target = cell.parse()?;
        let call = async || self.abroad.caller.call(&target, &self.payload).await;
        let load = Load { pause: Some(PAUSE), ..bench.load(CALLERS) };
        let isolated: Target = ISOLATED.parse()?;
        let shared: Target = SHARED.parse()?;
        let (shared, isolated, call) = (&shared, &isolated, &call);
        let sides: [Side<'_>; 4] = [
            rounds::side(call),
            Box::new(|load| Box::pin(async move { beside_a_stranger(&load, call).await })),
            Box::new(|load| Box::pin(async move { self.beside(shared, &load, call).await })),
            Box::new(|load| Box::pin(async move { self.beside(isolated, &load, call).await })),
        ];
        let mut samples = rounds::laps(bench.rounds, &load, &sides).await?.into_iter();
        let quiet = samples.next().unwrap_or_default();
        let mut next = || Rounds { base: quiet.clone(), ours: samples.next().unwrap_or_default() };
        let stranger = next();
        let shared = next();
        let isolated = next();
        let line = |hog: &str, rounds: Rounds| {
            Line::new(format!("{what} beside {hog}, p99"), "× quiet", rounds.slowest())
                .samples(rounds)
        };
        Ok(vec![
            line("a hog with `isolation: process`", isolated).at_most(1.2).note(NOTE),
            line("a process that spins", stranger).note(STRANGER),
            line("a hog in the body", shared).note(INSIDE),
        ])
    }

    /// Measures while a hog of the body spins.
    async fn beside(
        &self,
        hog: &Target,
        load: &Load,
        call: impl AsyncFn() -> anyhow::Result<()>,
    ) -> anyhow::Result<Sample> {
        let seconds = Bytes::from((load.length + 2 * AROUND).as_secs_f64().to_string());
        let measured = async {
            sleep(AROUND).await;
            load.run(call).await
        };
        let (spun, sample) = tokio::join!(self.abroad.caller.ask(hog, &seconds), measured);
        spun?;
        sample
    }
}

/// Measures while a process outside the body spins.
async fn beside_a_stranger(
    load: &Load,
    call: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<Sample> {
    let mut command = Command::new("sh");
    command.args(["-c", "while :; do :; done"]).stdin(Stdio::null()).kill_on_drop(true);
    let mut stranger = command.spawn()?;
    sleep(AROUND).await;
    let sample = load.run(call).await;
    stranger.kill().await?;
    sample
}
