//! Cost of recording: the same Rust cell over NATS without a recorder, with one that receives no
//! spans (the counters still count), and with one that records every hundredth call.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cbs::{BodyBus, Envelope, Span, SpanSink, Target};

use crate::{
    caller,
    cells::{self, ECHO},
    hosting::{self, Body},
    report::Line,
    rounds::{self, Rounds},
    rows::MANY,
    stage::{self, Bench},
};

/// Number of spans that this recorder keeps.
const KEPT_MAX: usize = 4_096;
const HOW: &str = "calls a second by those of a body without a recorder, in the same rounds; each call begins a trace; the \
                   recorder is the bench's own: it keeps the last 4,096 spans";

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    bench.runtime.block_on(async {
        let none = Sided::start(bench, None).await?;
        let counted = Sided::start(bench, Some(Ring::of(0))).await?;
        let recorded = Sided::start(bench, Some(Ring::of(1))).await?;
        let mut lines = Vec::new();
        for size in [128, 4096] {
            let payload = cells::payload(size);
            let base = async || none.call(&payload).await;
            let ours = async || counted.call(&payload).await;
            let sampled = async || recorded.call(&payload).await;
            let sides = [rounds::side(&base), rounds::side(&ours), rounds::side(&sampled)];
            let mut samples =
                rounds::laps(bench.rounds, &bench.load(MANY), &sides).await?.into_iter();
            let base = samples.next().unwrap_or_default();
            for (what, least) in [("unsampled", 0.95), ("1 % sampled", 0.92)] {
                let mut ours = samples.next().unwrap_or_default();
                ours.truncate(bench.rounds);
                let rounds = Rounds { base: base.clone(), ours };
                let speed = rounds.speed();
                let thrift = rounds.thrift();
                let what = format!("cell with a recorder, {what}, {size} B, {MANY} at once");
                lines.push(
                    Line::new(&*what, "× without", speed)
                        .at_least(least, None)
                        .note(HOW)
                        .samples(rounds),
                );
                lines.push(
                    Line::new(format!("{what}, CPU"), "× without", thrift).note("for information"),
                );
            }
        }
        let kept = recorded.ring.as_ref().map_or(0, |ring| ring.len());
        anyhow::ensure!(kept > 0, "nothing was recorded");
        for side in [none, counted, recorded] {
            side.stop().await;
        }
        lines.push(scrape(bench.rounds));
        Ok(lines)
    })
}

/// Measures a page of metrics of a body of 10,000 cells that were all called.
fn scrape(rounds: usize) -> Line {
    let page = body::metrics_of_cells(10_000);
    let bytes = page(false);
    let took = (0..rounds).map(|_| {
        let began = Instant::now();
        page(false);
        began.elapsed().as_secs_f64() * 1e3
    });
    let line = Line::new("a page of metrics of 10,000 cells", "ms", took.collect()).at_most(50.0);
    line.note(format!("written in process: {} MB", bytes / 1_000_000))
}

/// A body and a client of it.
struct Sided {
    body: Body,
    client: bus_nats::Nats,
    bus: Arc<dyn BodyBus>,
    target: Target,
    ring: Option<Arc<Ring>>,
}

impl Sided {
    async fn start(bench: &Bench, ring: Option<Arc<Ring>>) -> anyhow::Result<Self> {
        let namespace = stage::namespace()?;
        let span_sink = ring.clone().map(|ring| ring as Arc<dyn SpanSink>);
        let cells = vec![cells::echo(ECHO)];
        let specs = cells::specs([ECHO], "");
        let body =
            Body::start_recorded(Some(&bench.url), &namespace, cells, &specs, span_sink).await?;
        let client = hosting::client(&bench.url, &namespace).await?;
        Ok(Self { body, bus: client.bus(), client, target: ECHO.parse()?, ring })
    }

    /// Makes a call that no other call caused: the body that answers decides whether to record it.
    async fn call(&self, payload: &Bytes) -> anyhow::Result<()> {
        caller::check(
            &self.bus.call(Envelope::request(self.target.clone(), payload.clone())).await?,
            payload,
        )
    }

    async fn stop(self) {
        self.body.stop().await;
        self.client.close().await;
    }
}

/// A recorder that keeps the last spans.
struct Ring {
    /// Number of traces that it records, of a hundred.
    percent: u8,
    spans: Mutex<VecDeque<Span>>,
}

impl Ring {
    fn of(percent: u8) -> Arc<Self> {
        Arc::new(Self { percent, spans: Mutex::new(VecDeque::with_capacity(KEPT_MAX)) })
    }

    fn len(&self) -> usize {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl SpanSink for Ring {
    fn samples(&self, trace_id: [u8; 16]) -> bool {
        // The last bytes of our ids are random.
        let [.., high, low] = trace_id;
        u16::from_be_bytes([high, low]) % 100 < u16::from(self.percent)
    }

    fn slow(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn record(&self, span: Span) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() == KEPT_MAX {
            spans.pop_front();
        }
        spans.push_back(span);
    }
}
