//! A Rust cell over NATS, hosted as `cbs up` hosts it, called over another connection's bus:
//! beside a raw answerer in a queue group, called by a raw client.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use bytes::Bytes;
use cbs::{BodyBus, BodyId, CellContext, Envelope, Home, Target};

use crate::{
    cells::{self, ECHO, Silent},
    hosting::{self, Body},
    load::Sample,
    report::{Line, Spread},
    rounds::Rounds,
    rows::{MANY, against_raw},
    stage::{self, Bench, Raw},
};

/// The time of the call that the caller itself answers: it must not run out while we measure.
const CALLER_TIME: Duration = Duration::from_secs(3600);
const FULL: &str = "as a cell of another body calls: envelope with id, correlation, causation, source (body, cell), \
                    deadline; answered with limit, queue, deadline, panic guard, numbers";

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    bench.runtime.block_on(async {
        let namespace = stage::namespace()?;
        let raw = Raw::start(&bench.url).await?;
        let body =
            Body::start(Some(&bench.url), &namespace, vec![cells::echo(ECHO)], &cells::specs([ECHO], "")).await?;
        let client = hosting::client(&bench.url, &namespace).await?;
        let (bus, target): (_, Target) = (client.bus(), ECHO.parse()?);
        let context = caller(bus.clone())?;
        let mut lines = Vec::new();
        for (size, callers) in [(128, MANY), (4096, MANY), (128, 1)] {
            let payload = cells::payload(size);
            let ours = async || as_cell(&context, &target, &payload).await;
            let rounds =
                Rounds::take(bench.rounds, bench.load(callers), async || raw.call(&payload).await, ours).await?;
            lines.extend(said(bench, size, callers, rounds));
        }
        let payload = cells::payload(128);
        let ours = async || as_client(&*bus, &target, &payload).await;
        let rounds = Rounds::take(bench.rounds, bench.load(MANY), async || raw.call(&payload).await, ours).await?;
        let what = "cell, 128 B, 64 at once, called by a program that is no cell";
        lines.extend(against_raw(bench, what, "for information: the envelope has id and deadline alone", rounds));
        body.stop().await;
        client.close().await;
        Ok(lines)
    })
}

fn said(bench: &Bench, size: usize, callers: usize, rounds: Rounds) -> [Line; 2] {
    let size = if size < 1024 { format!("{size} B") } else { format!("{} KiB", size / 1024) };
    if callers == 1 {
        let (raw, ours) = (p50(&rounds.base), p50(&rounds.ours));
        let note = format!("for information: p50 raw {raw:.0} µs, CBS {ours:.0} µs (medians of the rounds)");
        return against_raw(bench, &format!("cell, {size}, one at a time"), note, rounds);
    }
    let [speed, cpu] = against_raw(bench, &format!("cell, {size}, {callers} at once"), FULL, rounds);
    [speed.at_least(0.9, Some(1.0)), cpu]
}

/// The median of the rounds' medians.
fn p50(samples: &[Sample]) -> f64 {
    let rounds: Vec<f64> = samples.iter().map(|sample| sample.p50_us).collect();
    Spread::of(&rounds).map_or(f64::NAN, |spread| spread.median)
}

/// A cell in the midst of a call, whose own calls carry all that a cell's calls carry.
fn caller(bus: Arc<dyn BodyBus>) -> anyhow::Result<CellContext> {
    let target: Target = "bench.caller".parse()?;
    let home = Home::new(target.clone(), BodyId::new("bench-client")?, bus, Arc::new(Silent));
    let request = Envelope { timeout: Some(CALLER_TIME), ..Envelope::request(target, Bytes::new()) };
    Ok(CellContext::new(Arc::new(home), &request))
}

async fn as_cell(context: &CellContext, target: &Target, payload: &Bytes) -> anyhow::Result<()> {
    check(&context.send(context.request(target.clone(), payload.clone())).await?, payload)
}

async fn as_client(bus: &dyn BodyBus, target: &Target, payload: &Bytes) -> anyhow::Result<()> {
    check(&bus.call(Envelope::request(target.clone(), payload.clone())).await?, payload)
}

fn check(reply: &Envelope, payload: &Bytes) -> anyhow::Result<()> {
    ensure!(reply.payload.len() == payload.len(), "the cell answers with {} bytes", reply.payload.len());
    Ok(())
}
