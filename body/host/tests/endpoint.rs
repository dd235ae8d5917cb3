//! Faults of a cell affect only its own call: panics, hangs, too many calls, payloads that do not
//! fit.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cbs::{BodyBus, Bytes, Cell, CellContext, CellError, Code, Envelope, NativeCell, Outcome};
use futures::{StreamExt, stream::FuturesUnordered};
use host::{Blocked, CallLimits, Schemas, Watchdog};
use serde_json::{Value, json};
use support::{Logged, bus, call, cell_spec, limits, serve, target};
use tokio::{sync::Semaphore, time::Instant};

const LONG: Duration = Duration::from_secs(5);

async fn moody(_: &CellContext, mood: String) -> Result<String, CellError> {
    match mood.as_str() {
        "panic" => panic!("the secret is 4711"),
        "hang" => std::future::pending().await,
        "refuse" => Err(CellError::domain("demo.mood", "not today")),
        _ => Ok(mood),
    }
}

/// A cell that panics before there is a future, and when its future is dropped.
struct Rude;

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl Cell for Rude {
    #[allow(clippy::manual_async_fn, reason = "the panic comes before the future")]
    fn call(
        &self,
        _: &CellContext,
        request: Envelope,
    ) -> impl Future<Output = Result<Envelope, CellError>> + Send {
        assert!(request.payload != "at once", "at once");
        async {
            let _rude = PanicsOnDrop;
            std::future::pending().await
        }
    }
}

#[tokio::test]
async fn a_panic_costs_its_own_caller_an_error_and_the_log_has_the_rest() {
    let (logged, _guard) = Logged::listen();
    let bus = bus();
    let served =
        serve(&bus, &cbs::cell("demo.moody", moody), CallLimits::default(), Schemas::default())
            .await;
    let request = Envelope::request(target("demo.moody"), r#""panic""#);
    let id = request.id;
    let answer = bus.call(request).await;
    assert_eq!(answer, Err(CellError::cell_failed(id).into()));
    let text = logged.text();
    let trace = format!("trace_id={}", id.simple());
    let ids = [&format!("id={id}"), &format!("correlation_id={id}"), &trace];
    for part in ["cbs::cell", "demo.moody", "the secret is 4711", "tests/endpoint.rs:"]
        .into_iter()
        .chain(ids.map(|id| &**id))
    {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert_eq!(call(&*bus, "demo.moody", json!("fine")).await, Ok(json!("fine")));
    let stats = served.cell_handler.stats();
    assert_eq!(
        [&stats.calls, &stats.errors, &stats.in_flight].map(|n| n.load(Ordering::Relaxed)),
        [2, 1, 0]
    );
    assert!(
        stats
            .last_error()
            .is_some_and(|line| line.contains("cell-failed") && !line.contains("4711"))
    );
}

#[tokio::test]
async fn a_reply_that_is_too_large_is_counted_as_the_error_that_its_caller_gets() {
    async fn large(_: &CellContext, bytes: usize) -> Result<String, CellError> {
        Ok("x".repeat(bytes))
    }
    let bus = bus();
    let served =
        serve(&bus, &cbs::cell("demo.large", large), CallLimits::default(), Schemas::default())
            .await;
    let error = call(&*bus, "demo.large", json!(1 << 20)).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::TooLarge, Outcome::Ran));
    let stats = served.cell_handler.stats();
    assert_eq!([&stats.calls, &stats.errors].map(|n| n.load(Ordering::Relaxed)), [1, 1]);
    assert!(stats.last_error().is_some_and(|line| line.contains("too-large")));
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_future_or_at_its_drop_is_contained_too() {
    let bus = bus();
    let rude = NativeCell::new("demo.rude", Rude);
    let _served = serve(&bus, &rude, CallLimits::default(), Schemas::default()).await;
    let at_once = bus.call(Envelope::request(target("demo.rude"), "at once")).await;
    assert_eq!(at_once.unwrap_err().code(), &Code::CellFailed);
    let short = Envelope {
        timeout: Some(Duration::from_millis(10)),
        ..Envelope::request(target("demo.rude"), "")
    };
    assert_eq!(bus.call(short).await.unwrap_err().code(), &Code::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_hangs_times_out_and_frees_its_room() {
    let bus = bus();
    let short = limits(1, 0, Duration::from_millis(200));
    let served = serve(&bus, &cbs::cell("demo.moody", moody), short, Schemas::default()).await;
    for _ in 0..3 {
        let began = Instant::now();
        let error = call(&*bus, "demo.moody", json!("hang")).await.unwrap_err();
        assert_eq!((error.code(), error.outcome()), (&Code::Timeout, Outcome::Unknown));
        assert_eq!(began.elapsed().as_millis() / 100, 2, "{:?}", began.elapsed());
    }
    assert_eq!(call(&*bus, "demo.moody", json!("fine")).await, Ok(json!("fine")));
    assert_eq!(served.cell_handler.stats().in_flight.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_cells_own_error_is_its_callers() {
    let bus = bus();
    let _served =
        serve(&bus, &cbs::cell("demo.moody", moody), CallLimits::default(), Schemas::default())
            .await;
    let error = call(&*bus, "demo.moody", json!("refuse")).await.unwrap_err();
    assert_eq!(error, CellError::domain("demo.mood", "not today").into());
}

#[tokio::test]
async fn of_a_hundred_thousand_calls_at_once_each_is_answered() {
    const CALLS: usize = 100_000;
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let running = Arc::new(AtomicUsize::new(0));
    let slow = NativeCell::new("demo.slow", Waits { gate: closed, running: running.clone() });
    let bus = bus();
    let minute = Duration::from_secs(60);
    let served = serve(&bus, &slow, limits(64, 256, minute), Schemas::default()).await;
    let request = |_| Envelope {
        timeout: Some(minute),
        ..Envelope::request(target("demo.slow"), Bytes::new())
    };
    let mut calls: FuturesUnordered<_> =
        (0..CALLS).map(request).map(|request| bus.call(request)).collect();
    let mut shed = 0;
    while shed < CALLS - 320 {
        let error = calls.next().await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.outcome()), (&Code::Overloaded, Outcome::NotRun));
        shed += 1;
    }
    let stats = served.cell_handler.stats();
    let now = || {
        [&stats.in_flight, &stats.queued, &stats.shed].map(|number| number.load(Ordering::Relaxed))
    };
    assert_eq!(now(), [64, 256, CALLS as u64 - 320]);
    gate.add_permits(320);
    let mut done = 0;
    while let Some(answer) = calls.next().await {
        answer.unwrap();
        done += 1;
    }
    assert_eq!((done, now()), (320, [0, 0, CALLS as u64 - 320]));
    assert_eq!(running.load(Ordering::Relaxed), 64, "the most that ran at once");
}

/// A cell that waits at a gate, and records how many calls wait there with it.
struct Waits {
    gate: Arc<Semaphore>,
    running: Arc<AtomicUsize>,
}

impl Cell for Waits {
    async fn call(&self, _: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        if self.gate.available_permits() == 0 {
            self.running.fetch_add(1, Ordering::Relaxed);
        }
        self.gate.acquire().await.unwrap().forget();
        Ok(Envelope::reply(request.payload))
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_has_only_the_time_that_remains() {
    async fn remaining(context: &CellContext, wait_ms: u64) -> Result<u64, CellError> {
        // sleep: the work that the handler does.
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        Ok(context.remaining().as_millis() as u64)
    }
    let bus = bus();
    let _served = serve(
        &bus,
        &cbs::cell("demo.remaining", remaining),
        limits(1, 1, LONG),
        Schemas::default(),
    )
    .await;
    let (first, second) = tokio::join!(
        call(&*bus, "demo.remaining", json!(1_000)),
        call(&*bus, "demo.remaining", json!(0))
    );
    first.unwrap();
    let second = second.unwrap().as_u64().unwrap();
    assert!(
        (3_000..=4_000).contains(&second),
        "{second} ms are left of 5,000 after waiting for 1,000"
    );
    let generous =
        Envelope { timeout: Some(LONG * 100), ..Envelope::request(target("demo.remaining"), "0") };
    let remaining: u64 = cbs::from_json(&bus.call(generous).await.unwrap().payload).unwrap();
    assert!(remaining <= 5_000, "{remaining} ms of the spec's 5,000");
}

async fn age(_: &CellContext, input: Value) -> Result<Value, CellError> {
    Ok(input.get("age").cloned().unwrap_or_else(|| json!("none")))
}

#[tokio::test]
async fn input_that_does_not_fit_is_refused_with_every_path() {
    let (logged, _guard) = Logged::listen();
    let bus = bus();
    let spec = cell_spec("demo.age", "input: demo/v1/Name\noutput: demo/v1/Count");
    let schemas = Schemas::from(&*spec);
    let _served =
        serve(&bus, &cbs::cell("demo.age", age), CallLimits::from(&spec.policy), schemas).await;
    assert_eq!(call(&*bus, "demo.age", json!({ "name": "Ada", "age": 36 })).await, Ok(json!(36)));

    let error = call(&*bus, "demo.age", json!({ "nam": 1, "age": "old" })).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::BadRequest, Outcome::NotRun));
    assert!(error.error().message.contains("demo/v1/Name"), "{error}");
    let details = error.error().details.clone().unwrap();
    let mut paths: Vec<_> = details["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].as_str().unwrap())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/age", "/nam", "/name"]);

    for (payload, content_type) in [("{", ""), ("<name/>", "application/xml")] {
        let request = Envelope {
            content_type: content_type.into(),
            ..Envelope::request(target("demo.age"), payload)
        };
        assert_eq!(bus.call(request).await.unwrap_err().code(), &Code::BadRequest, "{payload}");
    }

    let request = Envelope::request(target("demo.age"), r#"{"name":"Ada"}"#);
    let id = request.id;
    let answer = bus.call(request).await;
    assert_eq!(
        answer,
        Err(CellError::cell_failed(id).into()),
        "the output is a text, not a number"
    );
    assert!(logged.text().contains("output does not fit"), "{}", logged.text());
}

#[tokio::test]
async fn a_reply_names_its_body() {
    let bus = bus();
    let _served =
        serve(&bus, &cbs::cell("demo.moody", moody), CallLimits::default(), Schemas::default())
            .await;
    let reply = bus.call(Envelope::request(target("demo.moody"), r#""fine""#)).await.unwrap();
    assert_eq!((reply.source.body.as_str(), reply.source.cell.as_str()), ("web1", ""));
}

#[tokio::test]
async fn calls_that_go_in_a_circle_end_with_an_error() {
    async fn round(context: &CellContext, depth: u32) -> Result<u32, CellError> {
        context.call("demo.round", &(depth + 1)).await
    }
    let bus = bus();
    let _served =
        serve(&bus, &cbs::cell("demo.round", round), CallLimits::default(), Schemas::default())
            .await;
    let error = call(&*bus, "demo.round", json!(0)).await.unwrap_err();
    assert_eq!(error.code(), &Code::Refused);
    assert!(error.error().message.contains("circle"), "{error}");
}

/// A cell that blocks its thread until it is released.
struct Blocks(Arc<AtomicBool>);

impl Cell for Blocks {
    async fn call(&self, _: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        let began = std::time::Instant::now();
        while !self.0.load(Ordering::Acquire) && began.elapsed() < LONG {
            std::thread::yield_now();
        }
        Ok(Envelope::reply(request.payload))
    }
}

#[tokio::test]
async fn a_cell_that_blocks_is_named_while_it_does() {
    let named = Arc::new(AtomicBool::new(false));
    let reported = Arc::<std::sync::Mutex<Vec<Blocked>>>::default();
    let set = named.clone();
    let found = reported.clone();
    let _watchdog = Watchdog::start_with(Duration::from_millis(20), move |blocked| {
        // Tests run on threads of one process: others may be slow too.
        if blocked.cell == "demo.blocks" {
            found.lock().unwrap().push(blocked.clone());
            set.store(true, Ordering::Release);
        }
    })
    .unwrap();
    let bus = bus();
    let cell = NativeCell::new("demo.blocks", Blocks(named.clone()));
    let _served = serve(&bus, &cell, CallLimits::default(), Schemas::default()).await;
    bus.call(Envelope::request(target("demo.blocks"), "")).await.unwrap();
    assert!(named.load(Ordering::Acquire), "it was named before it was done");
    assert_eq!(reported.lock().unwrap().len(), 1, "once for one poll");
}
