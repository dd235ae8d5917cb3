//! A Python cell in a body that is a process of its own: over NATS beside raw and beside peers, in
//! the same body, time until it is ready, memory of its body.

use crate::{
    abroad::Abroad,
    caller::FULL,
    cells,
    driver::{self, DRIVER},
    guests::{self, PYTHON},
    peers::Peer,
    program::Program,
    report::Line,
    rows::{
        MANY,
        guest::{ASKED, Guest},
        or_failed,
    },
    stage::Bench,
};

const SOURCE: &str = "echo.py:echo";
/// Number of additional cells, to measure the time of one cell until it is ready.
const MORE: usize = 10;

pub(super) fn measure(bench: &Bench) -> Vec<Line> {
    bench.runtime.block_on(async {
        let mut lines = over_nats(bench).await;
        lines.extend(or_failed("Python cell in its own body", here(bench).await));
        lines.extend(or_failed("`cbs up` of Python cells", start(bench).await));
        lines
    })
}

async fn over_nats(bench: &Bench) -> Vec<Line> {
    let mut peers = Vec::new();
    let mut lines = Vec::new();
    for (what, peer, least) in [
        ("Python cell beside nats-py", Peer::nats_py(bench).await, 1.15),
        ("Python cell beside FastStream", Peer::faststream(bench).await, 7.0),
    ] {
        match peer {
            Ok(peer) => peers.push((peer, least)),
            Err(error) => lines.push(Line::failed(what, &error)),
        }
    }
    let guest = Guest {
        what: "Python cell",
        cell: PYTHON,
        spec: guests::python(PYTHON, SOURCE, ""),
        targets: Some([(0.65, Some(0.75)), (0.7, None)]),
        note: FULL,
    };
    lines.extend(or_failed("Python cell over NATS", guest.over_nats(bench, &peers).await));
    for (peer, _) in peers {
        let name = peer.name;
        lines.extend(peer.stop().await.err().map(|error| Line::failed(name, &error)));
    }
    lines
}

/// Measures calls by a Rust cell of the same body.
async fn here(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let specs = guests::python(PYTHON, SOURCE, "") + &cells::specs([DRIVER], driver::SPEC);
    let abroad = Abroad::start(bench, &Program::with_driver()?, &specs, &[(PYTHON, ASKED)]).await?;
    abroad.within(PYTHON, 128, MANY, bench.length).await?;
    let mut many = Vec::new();
    let mut alone = Vec::new();
    for _ in 0..bench.rounds {
        many.push(abroad.within(PYTHON, 128, MANY, bench.length).await?.per_second);
        alone.push(abroad.within(PYTHON, 128, 1, bench.length).await?.p50_us);
    }
    abroad.stop().await?;
    let note = "called by a Rust cell of the same body, which is a process of its own and on NATS too; all cores";
    Ok(vec![
        Line::new(format!("Python cell in its own body, 128 B, {MANY} at once"), "calls/s", many)
            .at_least(150_000.0, None)
            .note(note),
        Line::new("Python cell in its own body, 128 B, one at a time, p50", "µs a call", alone)
            .note("for information"),
    ])
}

/// Measures bodies of one Python cell, and of some more.
async fn start(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let program = Program::cbs()?;
    let one = named(1);
    let more = named(1 + MORE);
    let mut ready = Vec::new();
    let mut each = Vec::new();
    let mut held = Vec::new();
    let mut held_each = Vec::new();
    for _ in 0..bench.rounds {
        let (took, memory) = started(bench, &program, &one).await?;
        let (took_more, memory_more) = started(bench, &program, &more).await?;
        ready.push(took);
        each.push((took_more - took) / MORE as f64);
        held.push(memory / 1e6);
        held_each.push((memory_more - memory) / MORE as f64 / 1e6);
    }
    Ok(vec![
        Line::new("body of a Python cell: from start to first answered call", "ms", ready)
            .note("for information: with the start of the interpreter"),
        Line::new("one more Python cell: until it answers", "ms", each).at_most(150.0).note(format!(
            "the interpreter is up: a body of {} until all have answered, less one of one, by {MORE}",
            1 + MORE
        )),
        Line::new("body of a Python cell: memory when idle, Rss", "MB", held)
            .at_most(40.0)
            .note("10⁶ bytes, 2 s after the first answered call"),
        Line::new("one more Python cell: memory, Rss", "MB", held_each).note("for information"),
    ])
}

/// Returns names of cells, each with a lane of its own.
fn named(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("bench.python{index}")).collect()
}

/// Returns the milliseconds until all these cells have answered, and the memory of their body in
/// bytes.
async fn started(bench: &Bench, program: &Program, names: &[String]) -> anyhow::Result<(f64, f64)> {
    let specs: String =
        names.iter().map(|name| guests::python(name, "plain.py:echo", "")).collect();
    let asked: Vec<_> = names.iter().map(|name| (name.as_str(), ASKED)).collect();
    let abroad = Abroad::start(bench, program, &specs, &asked).await?;
    let memory = abroad.up.memory().await?;
    let ready = abroad.ready.as_secs_f64() * 1e3;
    abroad.stop().await?;
    Ok((ready, memory.resident))
}
