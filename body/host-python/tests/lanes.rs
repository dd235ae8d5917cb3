//! Python cells in the body: the behavior that users may expect of every cell.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::{sync::atomic::Ordering, time::Duration};

use cbs::{BodyBus, CellError, Code, Envelope, Outcome};
use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::{Value, json};
use support::{Body, LONG, call_within, count, target, workers};
use testkit::within;

/// One cell of every kind: all give the same answer.
const KINDS: [(&str, &str); 6] = [
    (
        "never waits",
        "async def run(input: dict) -> dict:\n    return {'text': 'Hello, ' + input['name']}\n",
    ),
    (
        "may wait",
        "import asyncio; wait = asyncio.sleep\nasync def run(input: dict) -> dict:\n    await wait(0.001)\n    \
         return {'text': 'Hello, ' + input['name']}\n",
    ),
    (
        "on a thread",
        "def run(input: dict) -> dict:\n    return {'text': 'Hello, ' + input['name']}\n",
    ),
    (
        "decorated",
        "import cbs\n@cbs.cell('demo.cell')\nasync def run(input: dict) -> dict:\n    \
         return {'text': 'Hello, ' + input['name']}\n",
    ),
    (
        "with its context",
        "async def run(ctx, input: dict) -> dict:\n    assert ctx.cell == 'demo.cell' and ctx.body == 'web1'\n    \
         return {'text': 'Hello, ' + input['name']}\n",
    ),
    (
        "of types",
        "from dataclasses import dataclass\n@dataclass\nclass Name:\n    name: str\n@dataclass\nclass Greeting:\n    \
         text: str\nasync def run(input: Name) -> Greeting:\n    return Greeting('Hello, ' + input.name)\n",
    ),
];

#[tokio::test]
async fn cells_of_every_kind_answer() {
    let body = Body::new();
    for (kind, text) in KINDS {
        let running = body.cell(text, "").await;
        let answer = body.call("demo.cell", json!({"name": "Ada"})).await;
        assert_eq!(answer, Ok(json!({"text": "Hello, Ada"})), "{kind}\n{}", body.log.text());
        within(LONG, "the stop", running.stop()).await;
    }
}

#[tokio::test]
async fn a_thousand_calls_at_once_are_answered() {
    let body = Body::new();
    for (kind, text) in KINDS {
        let running = body.cell(text, "concurrency: 1000").await;
        let one = |index: usize| {
            let body = &body;
            async move { (index, body.call("demo.cell", json!({"name": index.to_string()})).await) }
        };
        let mut calls: FuturesUnordered<_> = (0..1000).map(one).collect();
        while let Some((index, answer)) = calls.next().await {
            assert_eq!(answer, Ok(json!({"text": format!("Hello, {index}")})), "{kind}");
        }
        let stats = running.handler().stats();
        assert_eq!(
            (stats.calls.load(Ordering::Relaxed), stats.in_flight.load(Ordering::Relaxed)),
            (1000, 0)
        );
        let lane = workers(&running)[0].clone();
        assert_eq!((lane.in_flight, lane.queued, lane.state.as_str()), (0, 0, "ready"), "{kind}");
        running.stop().await;
    }
}

#[tokio::test]
async fn what_is_said_about_a_call_reaches_the_cell() {
    let body = Body::new();
    let text = "
import cbs, time
def run(input) -> dict:
    ctx = cbs.current()
    return {'id': ctx.id, 'correlation': ctx.correlation_id, 'attempt': ctx.attempt, 'caller': ctx.caller,
            'trace': ctx.traceparent, 'left': ctx.deadline - time.monotonic(), 'attributes': dict(ctx.attributes),
            'config': ctx.config, 'revision': ctx.revision, 'remaining': ctx.remaining}
";
    let running = body.cell(text, "config: { limit: 3 }\ntimeout: 1m").await;
    let request = Envelope {
        attempt: 2,
        timeout: Some(Duration::from_secs(30)),
        attributes: vec![("tenant".into(), "blue".into())],
        ..Envelope::request(target("demo.cell"), "null")
    };
    let id = request.id.to_string();
    let trace = cbs::span_of(request.id);
    let reply = body.bus.call(request).await.unwrap();
    let said: Value = serde_json::from_slice(&reply.payload).unwrap();
    assert_eq!((&said["id"], &said["correlation"]), (&json!(id), &json!(id)));
    assert_eq!(
        (&said["attempt"], &said["attributes"], &said["config"]),
        (&json!(3), &json!({"tenant": "blue"}), &json!({"limit": 3}))
    );
    assert_eq!(said["revision"], json!(running.spec().metadata.revision.as_str()));
    for left in [&said["left"], &said["remaining"]] {
        assert!((15.0..=30.0).contains(&left.as_f64().unwrap()), "{left}");
    }
    let span = format!("{:016x}", u64::from_be_bytes(trace));
    assert!(said["trace"].as_str().unwrap().contains(&span), "{said}");
}

#[tokio::test]
async fn a_cell_calls_others_publishes_prints_and_asks() {
    let body = Body::new();
    body.file("add.py", "async def run(input: int) -> int:\n    return input + 1\n");
    let _add = body.start("demo.add", "add.py:run", "").await;
    let listening = cbs::Subscription { filter: "cell.done".parse().unwrap(), group: None };
    let mut events = body.bus.subscribe(listening).await.unwrap();
    for (kind, text) in [
        (
            "async",
            "
async def run(ctx, input: int) -> list:
    found = [await ctx.call('demo.add', input), await ctx.ask('who?')]
    await ctx.print(f'found {found}')
    await ctx.publish('cell.done', found)
    return found
",
        ),
        (
            "def",
            "
def run(ctx, input: int) -> list:
    found = [ctx.call_sync('demo.add', input), ctx.ask_sync('who?')]
    ctx.print_sync(f'found {found}')
    ctx.publish_sync('cell.done', found)
    return found
",
        ),
    ] {
        let running = body.cell(text, "").await;
        assert_eq!(
            body.call("demo.cell", json!(1)).await,
            Ok(json!([2, "who? Ada"])),
            "{kind}\n{}",
            body.log.text()
        );
        let Some(cbs::Delivery::Event(event)) = within(LONG, "the event", events.next()).await
        else {
            panic!("missed")
        };
        assert_eq!(
            (event.payload.as_ref(), event.source.cell.as_str()),
            (&b"[2,\"who? Ada\"]"[..], "cell demo.cell")
        );
        running.stop().await;
    }
    assert_eq!(body.screen.lines(), ["found [2, 'who? Ada']"; 2]);
}

#[tokio::test]
async fn errors_of_other_cells_come_back_as_they_are() {
    let body = Body::new();
    let text = "
import cbs
async def run(ctx, input):
    try:
        await ctx.call(input)
    except cbs.CellError as error:
        return [error.code, error.outcome, error.details]
";
    let _running = body.cell(text, "").await;
    body.file(
        "moody.py",
        "import cbs\nasync def run(input):\n    raise cbs.CellError('demo.mood', 'not today', details={'until': 5})\n",
    );
    let _moody = body.start("demo.moody", "moody.py:run", "").await;
    assert_eq!(
        body.call("demo.cell", json!("demo.moody")).await,
        Ok(json!(["demo.mood", "ran", {"until": 5}]))
    );
    assert_eq!(
        body.call("demo.cell", json!("demo.nobody")).await,
        Ok(json!(["not-found", "not-run", null]))
    );
    assert_eq!(
        body.call("demo.cell", json!("No Name")).await,
        Ok(json!(["bad-request", "not-run", null]))
    );
}

#[tokio::test]
async fn a_cell_that_calls_itself_does_not_lock_up() {
    let body = Body::new();
    for call in [
        "async def run(ctx, input: int) -> int:\n    return 1 + await ctx.call('demo.cell', input - 1) if input else 0\n",
        "def run(ctx, input: int) -> int:\n    return 1 + ctx.call_sync('demo.cell', input - 1) if input else 0\n",
    ] {
        let running = body.cell(call, "").await;
        assert_eq!(body.call("demo.cell", json!(5)).await, Ok(json!(5)), "{}", body.log.text());
        running.stop().await;
    }
}

#[tokio::test]
async fn a_cells_own_error_is_its_callers() {
    let body = Body::new();
    let text = "
import cbs
async def run(input):
    raise cbs.CellError('stock.empty', 'no more tea', retryable=True, details={'left': 0})
";
    let _running = body.cell(text, "").await;
    let error = body.call("demo.cell", json!(1)).await.unwrap_err();
    let meant = CellError::domain("stock.empty", "no more tea")
        .retryable()
        .with_details(json!({"left": 0}));
    assert_eq!((error.error(), error.outcome()), (&meant, Outcome::Ran));
}

#[tokio::test]
async fn input_that_does_not_fit_is_the_callers_fault() {
    let body = Body::new();
    let _running = body.cell(KINDS[5].1, "").await;
    for (input, part) in [(json!({"name": 5}), "name"), (json!({}), "name"), (json!([1]), "")] {
        let error = body.call("demo.cell", input.clone()).await.unwrap_err();
        assert_eq!(error.code(), &Code::BadRequest, "{input}");
        assert!(error.error().message.contains(part), "{error}");
    }
    let bytes = Envelope::request(target("demo.cell"), "{broken");
    assert_eq!(body.bus.call(bytes).await.unwrap_err().code(), &Code::BadRequest);
}

#[tokio::test]
async fn bytes_are_carried_as_they_are() {
    let body = Body::new();
    let _running =
        body.cell("async def run(input: bytes) -> bytes:\n    return input[::-1]\n", "").await;
    let reply =
        body.bus.call(Envelope::request(target("demo.cell"), &b"\x00\xff\x01"[..])).await.unwrap();
    assert_eq!(
        (reply.payload.as_ref(), reply.content_type()),
        (&b"\x01\xff\x00"[..], "application/octet-stream")
    );
}

#[tokio::test]
async fn hooks_run_once_in_each_lane_and_share_a_state() {
    let body = Body::new();
    let text = "
import cbs, threading, logging
log = logging.getLogger('hooks')
@cbs.start
async def open(state):
    state.thread = threading.get_ident()
    log.info('opened')
@cbs.stop
def close(state):
    log.info('closed %s', state.thread == threading.get_ident())
async def run(ctx, input):
    return ctx.state.thread == threading.get_ident()
";
    let running = body.cell(text, "workers: 3").await;
    assert_eq!(
        workers(&running).iter().map(|lane| lane.name.to_string()).collect::<Vec<_>>(),
        ["lane 0", "lane 1", "lane 2"]
    );
    for _ in 0..9 {
        assert_eq!(body.call("demo.cell", json!(null)).await, Ok(json!(true)));
    }
    within(LONG, "the stop", running.stop()).await;
    let log = body.log.text();
    assert_eq!(
        (log.matches("opened").count(), log.matches("closed True").count()),
        (3, 3),
        "{log}"
    );
}

#[tokio::test]
async fn a_start_hook_that_fails_keeps_the_cell_from_serving() {
    let body = Body::new();
    let own = "import cbs\n@cbs.start\ndef open():\n    raise cbs.CellError('demo.database', 'it is away')\n@cbs.stop\ndef close():\n    print('closed')\nasync def run(input):\n    pass\n";
    assert_eq!(body.refused(own).await, "the start hook failed: demo.database: it is away");
    // The lines of a later stop come after those of an earlier one.
    let later = "import cbs\n@cbs.stop\ndef close():\n    print('later stop')\nasync def run(input):\n    pass\n";
    within(LONG, "the stop", body.cell(later, "").await.stop()).await;
    body.log.has(&["later stop"]).await;
    assert!(
        !body.log.text().contains("closed"),
        "a stop hook ran though the start failed:\n{}",
        body.log.text()
    );
    let other =
        "import cbs\n@cbs.start\nasync def open():\n    1 / 0\nasync def run(input):\n    pass\n";
    let reason = body.refused(other).await;
    assert!(reason.contains("cell.py:4: ZeroDivisionError"), "{reason}");
}

#[tokio::test]
async fn at_the_deadline_the_coroutine_is_cancelled() {
    let body = Body::new();
    let text = "
import asyncio, logging; wait = asyncio.sleep
async def run(input):
    try:
        await wait(60)
    except asyncio.CancelledError:
        logging.getLogger('me').warning('cancelled at %s', input)
        raise
";
    let running = body.cell(text, "").await;
    let error = call_within(&*body.bus, "demo.cell", json!(4711), Duration::from_millis(700))
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::Timeout, Outcome::Unknown));
    body.log.has(&["cancelled at 4711", "demo.cell", "correlation_id="]).await;
    testkit::eventually("it counts no more", LONG, async || workers(&running)[0].in_flight == 0)
        .await;
}

#[tokio::test]
async fn a_stop_under_load_loses_nothing() {
    let body = Body::new();
    for (kind, text) in KINDS {
        let running = body.cell(text, "concurrency: 300").await;
        let one = |index: usize| {
            let bus = body.bus.clone();
            async move {
                call_within(&*bus, "demo.cell", json!({"name": index.to_string()}), LONG).await
            }
        };
        let mut calls: FuturesUnordered<_> = (0..300).map(one).collect();
        // Every call is in the body's hands before the stop.
        let stats = running.handler().stats().clone();
        let taken = |stats: &cbs::Stats| {
            stats.calls.load(Ordering::Relaxed) + stats.in_flight.load(Ordering::Relaxed) >= 300
        };
        let mut answered = 0;
        while !taken(&stats) {
            answered += usize::from(calls.next().await.unwrap().is_ok());
        }
        let drained = async {
            while let Some(answer) = calls.next().await {
                answered += usize::from(answer.is_ok());
            }
        };
        tokio::join!(drained, within(LONG, "the stop", running.stop()));
        assert_eq!(answered, 300, "{kind}");
    }
}

/// Returns the numbers of modules, threads, modules of cells, and open files.
fn counts(census: &Value) -> Vec<u64> {
    let inner = census[0].as_array().into_iter().flatten();
    inner.chain(census.get(1)).filter_map(Value::as_u64).collect()
}

#[tokio::test]
async fn two_hundred_starts_and_stops_leave_nothing_behind() {
    let body = Body::new();
    body.file("helper.py", "WHO = 'helper'\n");
    let text = "import helper, asyncio\ndef run(input):\n    return helper.WHO\n";
    let census = "import sys, gc, threading\ndef run(input):\n    gc.collect()\n    \
        return [len(sys.modules), threading.active_count(), sum('cbs_cells_' in name for name in sys.modules)]\n";
    body.file("census.py", census);
    let _census = body.start("demo.census", "census.py:run", "").await;
    let mut first = Value::Null;
    for turn in 0..200 {
        let running = body.cell(text, "").await;
        assert_eq!(body.call("demo.cell", json!(null)).await, Ok(json!("helper")));
        within(LONG, "the stop", running.stop()).await;
        if turn == 5 {
            first = json!([body.call("demo.census", json!(null)).await.unwrap(), count("fd")]);
        }
    }
    // Threads of `def` cells end by themselves, a moment later.
    assert_eq!(counts(&first).len(), 4, "{first}");
    testkit::eventually("it is as it was", LONG, async || {
        let now = json!([body.call("demo.census", json!(null)).await.unwrap(), count("fd")]);
        // What was still ending when it was counted first may have ended since.
        counts(&now).iter().zip(counts(&first)).all(|(now, first)| *now <= first)
    })
    .await;
}
