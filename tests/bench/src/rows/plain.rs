//! A Rust cell called by a plain NATS client: JSON in, JSON out, no envelope.

use async_nats::Subject;

use crate::{
    cells::{self, ECHO, TYPED},
    hosting::Body,
    report::Line,
    rounds::Rounds,
    rows::{MANY, against_raw},
    stage::{self, Bench, Raw},
};

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    bench.runtime.block_on(async {
        let namespace = stage::namespace()?;
        let raw = Raw::start(&bench.url).await?;
        let linked = vec![cells::echo(ECHO), cells::typed_echo(TYPED)];
        let body =
            Body::start(Some(&bench.url), &namespace, linked, &cells::specs([ECHO, TYPED], ""))
                .await?;
        let client = async_nats::connect(&bench.url).await?;
        let payload = cells::payload(128);
        let mut lines = Vec::new();
        for (cell, what) in [(ECHO, "bytes cell"), (TYPED, "typed JSON cell")] {
            let subject = Subject::from(String::from(cbs::Subject::of(&namespace, &cell.parse()?)));
            let ours = async || stage::plain(&client, &subject, &payload).await;
            let rounds = Rounds::take(
                bench.rounds,
                bench.load(MANY),
                async || raw.call(&payload).await,
                ours,
            )
            .await?;
            lines.extend(against_raw(
                bench,
                &format!("plain client, {what}, 128 B, 64 at once"),
                "",
                rounds,
            ));
        }
        body.stop().await;
        Ok(lines)
    })
}
