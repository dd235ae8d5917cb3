//! 10,000 cells in a body beside 10: the same ten are called in both. Calls that are spread over
//! all cells are for information: over NATS they miss the server's own cache of subjects, here
//! the processor's.

use std::{cell::Cell, sync::Arc};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use cbs::{BodyBus, Distance, Envelope, Target};
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
const SAME: &str = "calls a second by those of a body of 10; ten cells are called, spread over the 10,000";
const SPREAD: &str = "for information: each call goes to another cell; over NATS the server's cache of subjects misses, \
                      in the body the processor's caches";

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let over_nats = bench.runtime.block_on(over_nats(bench));
    let here = Builder::new_current_thread().enable_all().build()?.block_on(here(bench));
    let lines = [(over_nats, "over NATS, 64 at once"), (here, "in the same body, one thread")].map(|(found, how)| {
        let what = format!("10,000 cells beside 10, {how}");
        match found {
            Ok([same, spread]) => vec![
                Line::new(what.clone(), "× 10 cells", same.speed()).at_least(0.95, None).note(SAME).samples(same),
                Line::new(format!("{what}, calls to all"), "× 10 cells", spread.speed()).note(SPREAD).samples(spread),
            ],
            Err(error) => vec![Line::failed(what, &error)],
        }
    });
    Ok(lines.concat_all())
}

/// Flattens; arrays of vectors have no shorter way that moves.
trait ConcatAll {
    fn concat_all(self) -> Vec<Line>;
}

impl<const N: usize> ConcatAll for [Vec<Line>; N] {
    fn concat_all(self) -> Vec<Line> {
        self.into_iter().flatten().collect()
    }
}

async fn over_nats(bench: &Bench) -> anyhow::Result<[Rounds; 2]> {
    let (few_in, many_in) = (stage::namespace()?, stage::namespace()?);
    let few = body_of(Some((&bench.url, &few_in)), FEW).await?;
    let many = body_of(Some((&bench.url, &many_in)), MANY).await?;
    let (to_few, to_many) = (hosting::client(&bench.url, &few_in).await?, hosting::client(&bench.url, &many_in).await?);
    let found = compare(bench, bench.load(rows::MANY), to_few.bus(), to_many.bus(), Distance::Nats).await;
    few.stop().await;
    many.stop().await;
    to_few.close().await;
    to_many.close().await;
    found
}

async fn here(bench: &Bench) -> anyhow::Result<[Rounds; 2]> {
    let (few, many) = (body_of(None, FEW).await?, body_of(None, MANY).await?);
    let found = compare(bench, Load { server: None, ..bench.load(1) }, few.bus(), many.bus(), Distance::Body).await;
    few.stop().await;
    many.stop().await;
    found
}

/// The rounds of calls to ten cells of each body, and of calls to all.
async fn compare(
    bench: &Bench,
    load: Load,
    few: Arc<dyn BodyBus>,
    many: Arc<dyn BodyBus>,
    distance: Distance,
) -> anyhow::Result<[Rounds; 2]> {
    let payload = cells::payload(128);
    let some = |count, step| Turns::new(count, step).map(|turns| (turns, &payload));
    let (ten, ten_of_many, all) = (some(FEW, 1)?, some(MANY, MANY / FEW)?, some(MANY, 1)?);
    let few = async || ten.0.call(&*few, ten.1, distance).await;
    let same = async || ten_of_many.0.call(&*many, &payload, distance).await;
    let spread = async || all.0.call(&*many, &payload, distance).await;
    Ok([
        Rounds::take(bench.rounds, load, &few, same).await?,
        Rounds::take(bench.rounds, load, &few, spread).await?,
    ])
}
