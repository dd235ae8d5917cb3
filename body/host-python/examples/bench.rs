//! Measures how many calls a second the Python cells of one body answer. Run it by hand:
//! `cargo run --release -p host-python --example bench`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a program for developers"
)]

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use bus::{InProcess, Settings};
use cbs::{BodyBus, BodyId, BoxFuture, CellEnv, CellError, Console, Envelope, Target};
use futures::{StreamExt, stream::FuturesUnordered};
use host::{Restarts, Supervisor};
use host_python::PythonHost;

const CELLS: &str = r#"
import asyncio
import cbs
from dataclasses import dataclass

@dataclass
class Name:
    name: str

@dataclass
class Greeting:
    text: str

async def typed(input: Name) -> Greeting:
    return Greeting(f"Hello, {input.name}!")

async def plain(input: dict) -> dict:
    return {"text": f"Hello, {input['name']}!"}

async def context(ctx: cbs.Context, input: Name) -> Greeting:
    return Greeting(f"Hello, {input.name}!")

async def waits(input: Name) -> Greeting:
    await asyncio.sleep(0)
    return Greeting(f"Hello, {input.name}!")

def thread(input: Name) -> Greeting:
    return Greeting(f"Hello, {input.name}!")

async def calls(ctx: cbs.Context, input: dict) -> dict:
    return await ctx.call("bench.typed", input)
"#;

struct Nowhere;

impl Console for Nowhere {
    fn print(&self, _: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(async { Ok(()) })
    }
    fn ask(&self, _: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(async { Ok(None) })
    }
}

async fn measure(bus: &InProcess, name: &str, at_once: usize, time: Duration) -> f64 {
    let target: Target = format!("bench.{name}").parse().unwrap();
    let padding = "x".repeat(100);
    let payload = bytes::Bytes::from(format!(r#"{{"name":"Ada {padding}"}}"#));
    let one = || bus.call(Envelope::request(target.clone(), payload.clone()));
    let mut calls: FuturesUnordered<_> = (0..at_once).map(|_| one()).collect();
    let began = Instant::now();
    let mut done = 0_u64;
    while let Some(answer) = calls.next().await {
        answer.unwrap();
        done += 1;
        if done.is_multiple_of(64) && began.elapsed() > time {
            break;
        }
        calls.push(one());
    }
    let rate = done as f64 / began.elapsed().as_secs_f64();
    while calls.next().await.is_some() {}
    rate
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cells.py"), CELLS).unwrap();
    let bus = InProcess::new(Settings::default());
    let supervisor = Supervisor::new(
        vec![Arc::new(PythonHost::new(host_sidecar::Settings::new(cbs::Namespace::default())))],
        Restarts::default(),
    );
    let mut running = Vec::new();
    let names = ["typed", "plain", "context", "waits", "thread", "calls"];
    for name in names {
        let yaml = format!(
            "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: bench.{name} }}\nspec:\n  runtime: python\n  source: {}/cells.py:{name}\n",
            folder.path().display()
        );
        let specs =
            spec::load_texts([("specs.yaml".into(), &*yaml)], &spec::Options::default()).unwrap();
        let spec = specs.cells().next().unwrap().clone();
        let env = CellEnv::new(
            spec.name.clone().into(),
            BodyId::new("bench").unwrap(),
            bus.clone(),
            Arc::new(Nowhere),
        );
        let cell = supervisor.start(spec, env).unwrap();
        cell.ready(Duration::from_secs(30)).await.unwrap();
        running.push(cell);
    }
    let only = std::env::args().nth(1);
    let seconds = Duration::from_millis(1500);
    for name in names.iter().filter(|name| only.as_deref().is_none_or(|only| only == **name)) {
        let mut rates: Vec<(f64, f64)> = Vec::new();
        for _ in 0..3 {
            rates.push((
                measure(&bus, name, 1, seconds / 3).await,
                measure(&bus, name, 64, seconds).await,
            ));
        }
        rates.sort_by(|one, other| one.1.total_cmp(&other.1));
        println!(
            "{name:8} n=1 {:8.0}/s   n=64 {:8.0}/s (worst {:.0}, best {:.0})",
            rates[1].0, rates[1].1, rates[0].1, rates[2].1
        );
    }
}
