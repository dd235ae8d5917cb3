//! 10,000 cells in a body beside 10: the same ten are called in both. Calls that are spread over
//! all cells are for information: over NATS they miss the server's cache of subjects, in the body
//! the processor's cache.

use std::{cell::Cell, sync::Arc};

use anyhow::{Context as _, ensure};
use bus_nats::server::Server;
use bytes::Bytes;
use cbs::{BodyBus, Envelope, Namespace, Target, Transport};
use tokio::runtime::Builder;

use crate::{
    cells,
    hosting::{self, Body},
    load::Load,
    report::Line,
    rounds::Rounds,
    rows,
    stage::{self, Bench},
};

const FEW: usize = 10;
const MANY: usize = 10_000;
const SAME: &str = "calls a second by those of a body of 10; ten of the 10,000 cells are called, far from each other; \
                    over NATS each body has a server of its own, unless one was named";
const SPREAD: &str = "for information: each call goes to another cell; over NATS the server's cache of subjects misses, \
                      in the body the processor's caches";

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let over_nats = bench.runtime.block_on(over_nats(bench));
    let here = Builder::new_current_thread().enable_all().build()?.block_on(here(bench));
    let mut lines = said("10,000 cells beside 10, over NATS, 64 at once", over_nats);
    lines.extend(said("10,000 cells beside 10, same body, one thread", here));
    Ok(lines)
}

fn said(what: &str, found: anyhow::Result<[Rounds; 2]>) -> Vec<Line> {
    match found {
        Ok([same, spread]) => vec![
            Line::new(what, "× 10 cells", same.speed())
                .at_least(0.95, None)
                .note(SAME)
                .samples(same),
            Line::new(format!("{what}, calls to all"), "× 10 cells", spread.speed())
                .note(SPREAD)
                .samples(spread),
        ],
        Err(error) => vec![Line::failed(what, &error)],
    }
}

async fn over_nats(bench: &Bench) -> anyhow::Result<[Rounds; 2]> {
    // A server with 10,000 more subjects must not serve both bodies.
    let second = bench.another_server().await?;
    let few_url = second.as_ref().map_or(bench.url.as_str(), Server::url);
    let few_in = stage::namespace()?;
    let many_in = stage::namespace()?;
    let few = body_of(Some(few_url), &few_in, FEW).await?;
    let many = body_of(Some(&bench.url), &many_in, MANY).await?;
    let to_few = hosting::client(few_url, &few_in).await?;
    let to_many = hosting::client(&bench.url, &many_in).await?;
    let load = bench.load(rows::MANY);
    let found = compare(bench, load, [to_few.bus(), to_many.bus()], Transport::Nats).await;
    few.stop().await;
    many.stop().await;
    to_few.close().await;
    to_many.close().await;
    found
}

async fn here(bench: &Bench) -> anyhow::Result<[Rounds; 2]> {
    let namespace = stage::namespace()?;
    let few = body_of(None, &namespace, FEW).await?;
    let many = body_of(None, &namespace, MANY).await?;
    let found = compare(bench, bench.load(1), [few.bus(), many.bus()], Transport::InProcess).await;
    few.stop().await;
    many.stop().await;
    found
}

async fn body_of(url: Option<&str>, namespace: &Namespace, count: usize) -> anyhow::Result<Body> {
    let linked = cells::many(count).map(|name| cells::echo(&name)).collect();
    Body::start(url, namespace, linked, &cells::specs(cells::many(count), "")).await
}

/// Measures the rounds of calls to ten cells of each body, and of calls to all.
async fn compare(
    bench: &Bench,
    load: Load,
    [few, many]: [Arc<dyn BodyBus>; 2],
    via: Transport,
) -> anyhow::Result<[Rounds; 2]> {
    let ten = Turns::new(FEW, 1)?;
    let far = Turns::new(MANY, MANY / FEW)?;
    let all = Turns::new(MANY, 1)?;
    let base = async || ten.call(&*few, via).await;
    let same = async || far.call(&*many, via).await;
    let spread = async || all.call(&*many, via).await;
    Ok([
        Rounds::take(bench.rounds, load.clone(), base, same).await?,
        Rounds::take(bench.rounds, load, base, spread).await?,
    ])
}

/// Some of the many cells, called one after the other.
struct Turns {
    targets: Vec<Target>,
    next: Cell<usize>,
    payload: Bytes,
}

impl Turns {
    /// Takes every `step`th cell of a body's `count` cells.
    fn new(count: usize, step: usize) -> anyhow::Result<Self> {
        let targets = cells::many(count).step_by(step).map(|name| name.parse());
        let targets = targets.collect::<Result<_, _>>()?;
        Ok(Self { targets, next: Cell::new(0), payload: cells::payload(128) })
    }

    async fn call(&self, bus: &dyn BodyBus, via: Transport) -> anyhow::Result<()> {
        let index = self.next.get();
        self.next.set((index + 1) % self.targets.len());
        let target = self.targets.get(index).context("no cells")?;
        let reply = bus.call(Envelope::request(target.clone(), self.payload.clone())).await?;
        ensure!(
            reply.payload.len() == self.payload.len(),
            "{target} answers with {} bytes",
            reply.payload.len()
        );
        ensure!(reply.via == via, "{target} was called at the distance {}", reply.via);
        Ok(())
    }
}
