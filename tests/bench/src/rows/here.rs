//! A Rust cell called in its own body, through the body's whole bus, on one thread. The body is on
//! NATS too; the distance in the replies proves that no call went over NATS.

use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use cbs::{BodyBus, Envelope, Target, Transport};
use tokio::runtime::Builder;

use crate::{
    cells::{self, ECHO, TYPED},
    cpu,
    hosting::Body,
    report::{Line, Spread},
    stage::{self, Bench},
};

/// Number of calls between two readings of the clock.
const BATCH: u32 = 2_000;
const WALL: &str = "on one thread, by the clock: what others take of its core counts against it";
const CPU: &str = "the same by processor time: what one core does that nobody else uses";

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let linked = vec![cells::echo(ECHO), cells::typed_echo(TYPED)];
        let specs = cells::specs([ECHO, TYPED], "");
        let body = Body::start(Some(&bench.url), &stage::namespace()?, linked, &specs).await?;
        let bus = body.bus();
        let mut lines = Vec::new();
        for (size, name) in [(128, "128 B"), (4096, "4 KiB")] {
            let taken = Taken::take(bench, &*bus, ECHO, &cells::payload(size)).await?;
            let what = format!("cell in its own body, {name}");
            lines.push(Line::new(what.clone(), "ns a call", taken.nanoseconds).at_most(1_000.0));
            lines.push(
                Line::new(what.clone(), "calls/s", taken.per_second).at_least(1e6, None).note(WALL),
            );
            lines.push(
                Line::new(format!("{what}, of CPU time"), "calls/s", taken.per_cpu_second)
                    .note(CPU),
            );
            let proof =
                "calls whose reply's payload lies elsewhere in memory than the request's, by all";
            lines.push(
                Line::new(format!("{what}, payload copies"), "a call", taken.copies)
                    .at_most(0.0)
                    .note(proof),
            );
        }
        let taken = Taken::take(bench, &*bus, TYPED, &cells::payload(128)).await?;
        let note = "for information: serde reads and writes the payload anew";
        lines.push(
            Line::new("typed JSON cell in its own body, 128 B", "ns a call", taken.nanoseconds)
                .note(note),
        );
        body.stop().await;
        Ok(lines)
    })
}

/// The figures of each round.
#[derive(Default)]
struct Taken {
    /// Time of a call in the median batch.
    nanoseconds: Vec<f64>,
    /// Calls a second, over all batches.
    per_second: Vec<f64>,
    /// Calls for a second of this process's processor time, over all batches.
    per_cpu_second: Vec<f64>,
    copies: Vec<f64>,
}

impl Taken {
    async fn take(
        bench: &Bench,
        bus: &dyn BodyBus,
        cell: &str,
        payload: &Bytes,
    ) -> anyhow::Result<Self> {
        let target: Target = cell.parse()?;
        let mut taken = Self::default();
        batch(bus, &target, payload).await?;
        for _ in 0..bench.rounds {
            let mut batches = Vec::new();
            let mut copied = 0;
            let (began, used) = (Instant::now(), cpu::used(&[]));
            while began.elapsed() < bench.length {
                let (time, copies) = batch(bus, &target, payload).await?;
                copied += copies;
                batches.push(time.as_secs_f64() * 1e9 / f64::from(BATCH));
            }
            let calls = batches.len() as f64 * f64::from(BATCH);
            taken.nanoseconds.extend(Spread::of(&batches).map(|spread| spread.median));
            taken.per_second.push(calls / began.elapsed().as_secs_f64());
            let used = cpu::used(&[]).zip(used).map(|(after, before)| after.saturating_sub(before));
            taken.per_cpu_second.extend(used.map(|used| calls / used.as_secs_f64()));
            taken.copies.push(f64::from(copied) / calls);
        }
        Ok(taken)
    }
}

/// Makes a batch of calls one after the other; returns their time, and the number of copied
/// payloads.
async fn batch(
    bus: &dyn BodyBus,
    target: &Target,
    payload: &Bytes,
) -> anyhow::Result<(Duration, u32)> {
    let mut copied = 0;
    let began = Instant::now();
    for _ in 0..BATCH {
        let reply = bus.call(Envelope::request(target.clone(), payload.clone())).await?;
        ensure!(reply.via == Transport::InProcess, "a call left the body");
        copied += u32::from(reply.payload.as_ptr() != payload.as_ptr());
    }
    Ok((began.elapsed(), copied))
}
