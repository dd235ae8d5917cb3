//! `cbs up` as a process: its memory when idle, the time until it answers, the memory of one more
//! cell.

use std::{fs, path::Path};

use anyhow::Context as _;
use async_nats::Client;
use cbs::{Subject, Target};

use crate::{
    cells,
    memory::Memory,
    program::Program,
    report::Line,
    stage::{self, Bench},
};

const FEW: usize = 10;
const MANY: usize = 10_000;
const MEGABYTE: f64 = 1e6;
const KILOBYTE: f64 = 1e3;

pub(super) fn measure(bench: &Bench) -> Vec<Line> {
    bench.runtime.block_on(async {
        let greeting = greeting(bench).await;
        let mut lines =
            greeting.unwrap_or_else(|error| vec![Line::failed("`cbs up specs`", &error)]);
        let cell = memory_of_a_cell(bench).await;
        lines.extend(cell.unwrap_or_else(|error| vec![Line::failed("memory of a cell", &error)]));
        lines
    })
}

/// Starts the greeting's body several times.
async fn greeting(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let program = Program::cbs()?;
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs").canonicalize()?;
    let client = async_nats::connect(&bench.url).await?;
    let mut ready = Vec::new();
    let mut held = Vec::new();
    for _ in 0..bench.rounds {
        let namespace = stage::namespace()?;
        let mut up = program.up(&specs, &bench.url, &namespace)?;
        let subject = Subject::of(&namespace, &"logic.greet".parse::<Target>()?);
        let took = up.answered(&client, subject.as_str(), r#"{"name":"Ada"}"#).await?;
        ready.push(took.as_secs_f64() * 1e3);
        held.push(up.memory().await?);
        up.stop().await?;
    }
    let path = program.path.display();
    let part =
        |part: fn(&Memory) -> f64| held.iter().map(|memory| part(memory) / MEGABYTE).collect();
    Ok(vec![
        Line::new("`cbs up specs`: from start to first answered call", "ms", ready)
            .at_most(100.0)
            .note(format!(
                "{path}; the server is up; asked every ms by a raw client; a start a round"
            )),
        Line::new("`cbs up specs`: memory when idle, Rss", "MB", part(|memory| memory.resident))
            .at_most(15.0)
            .note("10⁶ bytes, 2 s after the first answered call"),
        Line::new(
            "`cbs up specs`: memory when idle, Pss",
            "MB",
            part(|memory| memory.proportional),
        ),
        Line::new(
            "`cbs up specs`: memory when idle, RssAnon",
            "MB",
            part(|memory| memory.anonymous),
        ),
    ])
}

/// Measures bodies of few and of many cells: the difference of their memory, divided by the number
/// of more cells.
async fn memory_of_a_cell(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let client = async_nats::connect(&bench.url).await?;
    let (few, _) = body_of(bench, &client, FEW).await?;
    let (many, ready) = body_of(bench, &client, MANY).await?;
    let each = |part: fn(&Memory) -> f64| {
        vec![(part(&many) - part(&few)) / (MANY - FEW) as f64 / KILOBYTE]
    };
    let note = "10³ bytes: a body of 10,000 echo cells less one of 10, by 9,990; `cbs up` in a process of its own";
    Ok(vec![
        Line::new("memory of a cell, Rss", "KB", each(|memory| memory.resident))
            .at_most(6.0)
            .note(note),
        Line::new("memory of a cell, RssAnon", "KB", each(|memory| memory.anonymous)),
        Line::new("10,000 cells: from start to first answered call of the last", "ms", vec![ready]),
    ])
}

/// Returns the memory of a body of `count` cells, and the milliseconds until its last cell
/// answered.
async fn body_of(bench: &Bench, client: &Client, count: usize) -> anyhow::Result<(Memory, f64)> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("cells.yaml"), cells::specs(cells::many(count), ""))?;
    let namespace = stage::namespace()?;
    let mut up = Program::of_many(count)?.up(folder.path(), &bench.url, &namespace)?;
    let last: Target = cells::many(count).last().context("no cells")?.parse()?;
    let took = up.answered(client, Subject::of(&namespace, &last).as_str(), "1").await?;
    let memory = up.memory().await?;
    up.stop().await?;
    Ok((memory, took.as_secs_f64() * 1e3))
}
