//! A flow of three steps, all Rust; each gets the answer of the step before.

use anyhow::ensure;
use bytes::Bytes;
use cbs::{BodyBus, Envelope, FlowName, NativeCell, Target, Transport};
use tokio::runtime::Builder;

use crate::{
    cells::{self, FLOW, STEPS},
    hosting::Body,
    report::Line,
    rounds::Rounds,
    stage::{self, Bench},
};

/// Number of runs at once that shows the difference between a run and three calls. With one run it
/// would be the wake-up of threads; with many more, steps of different runs would fill each other's
/// waits.
const RUNS: usize = 8;
const RATIO: &str = "time a run by time a call, 8 at once: with one at a time the waking of threads blurs it. Both are \
                     made in the body that hosts the cells, whose route is nats; the calls are of the first step's cell";

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    lines.push(here(bench).unwrap_or_else(|error| Line::failed("three steps, same body", &error)));
    lines.extend(
        over_nats(bench)
            .unwrap_or_else(|error| vec![Line::failed("three steps over NATS", &error)]),
    );
    Ok(lines)
}

fn here(bench: &Bench) -> anyhow::Result<Line> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let specs = cells::specs(STEPS, "") + &cells::flow_spec();
        let body = Body::start(Some(&bench.url), &stage::namespace()?, linked(), &specs).await?;
        let (bus, flow, payload) = (body.bus(), flow()?, cells::payload(128));
        let load = bench.load(1);
        let run = async || call(&*bus, &flow, &payload, Transport::InProcess).await;
        load.run(run).await?;
        let mut rounds = Vec::new();
        for _ in 0..bench.rounds {
            rounds.push(load.run(run).await?.p50_us);
        }
        body.stop().await;
        let note = "the median run, on one thread; JSON of 128 B in and out of every step";
        Ok(Line::new("three steps, same body", "µs a run", rounds).at_most(10.0).note(note))
    })
}

fn over_nats(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    bench.runtime.block_on(async {
        let specs = cells::specs(STEPS, "  route: nats\n") + &cells::flow_spec();
        let body = Body::start(Some(&bench.url), &stage::namespace()?, linked(), &specs).await?;
        let (bus, flow, payload) = (body.bus(), flow()?, cells::payload(128));
        let [first, ..] = STEPS;
        let cell: Target = first.parse()?;
        let one = async || call(&*bus, &cell, &payload, Transport::Nats).await;
        // The flow itself is called in this process; its steps go over NATS.
        let run = async || call(&*bus, &flow, &payload, Transport::InProcess).await;
        let rounds = Rounds::take(bench.rounds, bench.load(RUNS), one, run).await?;
        let alone = Rounds::take(bench.rounds, bench.load(1), one, run).await?;
        body.stop().await;
        Ok(vec![
            Line::new("three steps over NATS, 8 at once", "× one call", rounds.cost())
                .at_most(3.3)
                .note(RATIO)
                .samples(rounds),
            Line::new("three steps over NATS, one at a time", "× one call", alone.cost())
                .note("for information")
                .samples(alone),
        ])
    })
}

fn linked() -> Vec<NativeCell> {
    STEPS.iter().map(|name| cells::typed_echo(name)).collect()
}

fn flow() -> anyhow::Result<Target> {
    Ok(Target::Flow(FLOW.parse::<FlowName>()?))
}

async fn call(
    bus: &dyn BodyBus,
    target: &Target,
    payload: &Bytes,
    via: Transport,
) -> anyhow::Result<()> {
    let reply = bus.call(Envelope::request(target.clone(), payload.clone())).await?;
    ensure!(reply.payload == *payload, "{target} answers with {} bytes", reply.payload.len());
    ensure!(reply.via == via, "{target} was called at the distance {}", reply.via);
    Ok(())
}
