//! A Rust cell over NATS, hosted as `cbs up` hosts it, called over another connection's bus:
//! beside a raw answerer in a queue group, called by a raw client.

use bytes::Bytes;
use cbs::{BodyBus, Envelope, Target};

use crate::{
    caller::{self, Caller, FULL},
    cells::{self, ECHO},
    hosting::Body,
    report::Line,
    rounds::Rounds,
    rows::{MANY, against_raw, over_nats},
    stage::{self, Bench, Raw},
};

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    bench.runtime.block_on(async {
        let namespace = stage::namespace()?;
        let raw = Raw::start(&bench.url).await?;
        let body = Body::start(
            Some(&bench.url),
            &namespace,
            vec![cells::echo(ECHO)],
            &cells::specs([ECHO], ""),
        )
        .await?;
        let caller = Caller::connect(&bench.url, &namespace).await?;
        let target: Target = ECHO.parse()?;
        let mut lines = Vec::new();
        for (size, callers) in [(128, MANY), (4096, MANY), (128, 1)] {
            let payload = cells::payload(size);
            let ours = async || caller.call(&target, &payload).await;
            let rounds = Rounds::take(
                bench.rounds,
                bench.load(callers),
                async || raw.call(&payload).await,
                ours,
            )
            .await?;
            let [speed, cpu] = over_nats(bench, "cell", size, callers, rounds);
            lines.extend(if callers == 1 {
                [speed, cpu]
            } else {
                [speed.at_least(0.9, Some(1.0)).note(FULL), cpu]
            });
        }
        let (bus, payload) = (caller.bus(), cells::payload(128));
        let ours = async || as_client(&*bus, &target, &payload).await;
        let rounds =
            Rounds::take(bench.rounds, bench.load(MANY), async || raw.call(&payload).await, ours)
                .await?;
        let what = "cell, 128 B, 64 at once, called by a program that is no cell";
        lines.extend(against_raw(
            bench,
            what,
            "for information: the envelope has id and deadline alone",
            rounds,
        ));
        body.stop().await;
        caller.close().await;
        Ok(lines)
    })
}

async fn as_client(bus: &dyn BodyBus, target: &Target, payload: &Bytes) -> anyhow::Result<()> {
    caller::check(&bus.call(Envelope::request(target.clone(), payload.clone())).await?, payload)
}
