//! A Dart cell, compiled ahead of time: over NATS beside raw, one hop, time until it is ready,
//! memory of its process when idle and in a flood.

use anyhow::{Context as _, ensure};

use crate::{
    abroad::Abroad,
    caller::FULL,
    cells::{self, TYPED},
    driver::{self, DRIVER},
    guests::{self, DART},
    memory::Memory,
    program::Program,
    report::Line,
    rows::{
        flood,
        guest::{ASKED, Guest, JSON},
        or_failed,
    },
    stage::Bench,
};

pub(super) fn measure(bench: &Bench) -> Vec<Line> {
    let [bytes, json] = DART;
    let targets = Some([(0.6, None), (0.6, None)]);
    let guests = [
        Guest { what: "Dart cell", cell: bytes, spec: guests::dart(bytes), targets, note: FULL },
        Guest {
            what: "Dart cell of JSON",
            cell: json,
            spec: guests::dart(json),
            targets: None,
            note: JSON,
        },
    ];
    bench.runtime.block_on(async {
        let mut lines = Vec::new();
        for guest in guests {
            lines.extend(or_failed(guest.what, guest.over_nats(bench, &[]).await));
        }
        lines.extend(or_failed("Dart cell in its own body", here(bench).await));
        lines.extend(or_failed("`cbs up` of a Dart cell", start(bench).await));
        lines.extend(or_failed("Dart cell in a flood", flood::measure(bench).await));
        lines
    })
}

/// Measures calls by a Rust cell of the same body.
async fn here(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let [cell, _] = DART;
    let specs = guests::dart(cell) + &cells::specs([DRIVER], driver::SPEC);
    let abroad = Abroad::start(bench, &Program::with_driver()?, &specs, &[(cell, ASKED)]).await?;
    abroad.within(cell, 128, 1, bench.length).await?;
    let mut alone = Vec::new();
    for _ in 0..bench.rounds {
        alone.push(abroad.within(cell, 128, 1, bench.length).await?.p50_us);
    }
    abroad.stop().await?;
    let note = "called by a Rust cell of its body, one at a time: to the Dart process and back";
    Ok(vec![
        Line::new("Dart cell in its own body, 128 B, p50", "µs a call", alone)
            .at_most(60.0)
            .note(note),
    ])
}

/// Measures bodies of a Dart cell, and of a Rust cell.
async fn start(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let program = Program::with_driver()?;
    let [cell, _] = DART;
    let (dart, rust) = (guests::dart(cell), cells::specs([TYPED], ""));
    // The first start compiles.
    Abroad::start(bench, &program, &dart, &[(cell, ASKED)]).await?.stop().await?;
    let mut ready = Vec::new();
    let mut held = Vec::new();
    for _ in 0..bench.rounds {
        let without = Abroad::start(bench, &program, &rust, &[(TYPED, ASKED)]).await?;
        let with = Abroad::start(bench, &program, &dart, &[(cell, ASKED)]).await?;
        ready.push((with.ready.as_secs_f64() - without.ready.as_secs_f64()) * 1e3);
        with.up.memory().await?;
        let children = with.up.children()?;
        ensure!(children.len() == 1, "the body has {} processes", children.len());
        held.push(Memory::of(*children.first().context("no process")?)?.resident / 1e6);
        without.stop().await?;
        with.stop().await?;
    }
    let note = "compiled before; a body of a Dart cell until it answers, less one of a Rust cell, a start of each a round";
    Ok(vec![
        Line::new("Dart cell: until it answers", "ms", ready).at_most(50.0).note(note),
        Line::new("process of a Dart cell: memory when idle, Rss", "MB", held)
            .at_most(15.0)
            .note("10⁶ bytes, 2 s after the first answered call"),
    ])
}
