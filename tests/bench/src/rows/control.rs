//! Raw against itself: the difference between two measurements of the same thing on this machine
//! now. A smaller difference in another row means nothing.

use crate::{
    cells,
    peers::Peer,
    report::Line,
    rounds::Rounds,
    rows::{MANY, against_raw},
    stage::{Bench, Raw},
};

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    bench.runtime.block_on(async {
        let one = Raw::start(&bench.url).await?;
        let other = Raw::start(&bench.url).await?;
        let payload = cells::payload(128);
        let take = async |callers| {
            let (one, other) =
                (async || one.call(&payload).await, async || other.call(&payload).await);
            Rounds::take(bench.rounds, bench.load(callers), one, other).await
        };
        let many = take(MANY).await?;
        let alone = take(1).await?;
        let apart = Peer::raw(bench).await?;
        let load = bench.load(MANY).beside(apart.pid());
        let near = async || one.call(&payload).await;
        let far = async || apart.call(&payload).await;
        let far = Rounds::take(bench.rounds, load, near, far).await?;
        apart.stop().await?;
        let speed = |rounds: &Rounds| rounds.base.iter().map(|sample| sample.per_second).collect();
        let p50 = alone.base.iter().map(|sample| sample.p50_us).collect();
        let cpu = many.base.iter().filter_map(|sample| sample.cpu_us).collect();
        let absolute = [
            Line::new("raw request and reply, 64 at once", "calls/s", speed(&many)),
            Line::new("raw request and reply, 64 at once, CPU", "µs a call", cpu),
            Line::new("raw request and reply, one at a time", "calls/s", speed(&alone)),
            Line::new("raw request and reply, one at a time, p50", "µs", p50)
                .samples(alone.clone()),
        ];
        let noise =
            "the noise of this run: a ratio that lies within this range of 1 is no difference";
        let lines = against_raw(bench, "raw against itself, 128 B, 64 at once", noise, many);
        let what = "raw, its answerer a process of its own, 128 B, 64 at once";
        let far = against_raw(
            bench,
            what,
            "for information: what the raw side of other rows leaves out",
            far,
        );
        Ok(lines.into_iter().chain(absolute).chain(far).collect())
    })
}
