//! Notes of Python cells about their calls: in spans, and in the log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::{
    process::ExitCode,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use cbs::{BodyBus, Code, Envelope, Span, SpanEntry, Stats, Trace};
use serde_json::{Value, json};
use support::{Body, LONG, target};

/// Entry point of the processes of these tests.
#[test]
#[ignore = "started by cells in processes of their own"]
fn worker() -> ExitCode {
    let arguments = std::env::args_os().skip_while(|argument| argument != "--").skip(1);
    host_python::worker(arguments)
}

/// Settings of a cell in the body, and of a cell in a process of its own.
const PLACES: [&str; 2] = ["", "isolation: process"];

fn attribute(key: &str, value: &str) -> SpanEntry {
    SpanEntry::Attribute { key: key.into(), value: value.into() }
}

/// Returns a call whose trace is sampled.
fn sampled(input: &Value) -> Envelope {
    let foreign_trace = Trace::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let request = Envelope::request(target("demo.cell"), input.to_string());
    Envelope { foreign_trace, attempt: 1, timeout: Some(LONG), ..request }
}

/// Returns the result of a call, and its span.
async fn recorded(body: &Body, request: Envelope) -> (Result<Value, Code>, Span) {
    let id = request.id;
    let answer = body.bus.call(request).await;
    let answer = answer.map(|reply| serde_json::from_slice(&reply.payload).unwrap());
    let span =
        body.spans.of(id).unwrap_or_else(|| panic!("no span: {answer:?}\n{}", body.log.text()));
    (answer.map_err(|error| error.code().clone()), span)
}

#[tokio::test]
async fn what_a_cell_says_about_a_call_is_in_its_span() {
    let said = "ctx.span.attribute('order.id', 4711)
    ctx.span.event('cache miss', {'key': 'orders/4711'}, late=False)
    return [ctx.span.sampled, ctx.span.traceparent == ctx.traceparent]";
    for place in PLACES {
        for begin in [
            "async def run(ctx, input):\n    ",
            "import asyncio; wait = asyncio.sleep\nasync def run(ctx, input):\n    await wait(0.001)\n    ",
            "def run(ctx, input):\n    ",
            "import cbs\ndef run(input):\n    ctx = cbs.current()\n    ",
        ] {
            let body = Body::new();
            let running = body.cell(&format!("{begin}{said}\n"), place).await;
            let before = cbs::now_ns();
            let (answer, span) = recorded(&body, sampled(&json!(null))).await;
            assert_eq!(answer, Ok(json!([true, true])), "{place} {begin}");
            let [first, SpanEntry::Event { name, time_ns, attributes }] = &span.notes[..] else {
                panic!("{span:?}")
            };
            assert_eq!((first, name.as_str()), (&attribute("order.id", "4711"), "cache miss"));
            assert_eq!(
                attributes[..],
                [("key".into(), "orders/4711".into()), ("late".into(), "false".into())]
            );
            assert!((before..=cbs::now_ns()).contains(time_ns), "{time_ns}");
            assert_eq!(
                body.call("demo.cell", json!(null)).await,
                Ok(json!([false, true])),
                "{place} {begin}"
            );
            running.stop().await;
        }
    }
}

#[tokio::test]
async fn what_was_said_about_a_call_that_is_given_up_is_kept() {
    for place in PLACES {
        let body = Body::new();
        let text = "
import asyncio; wait = asyncio.sleep
async def run(ctx, input):
    await wait(0.05)
    ctx.span.attribute('step', 'before')
    await wait(60)
    ctx.span.attribute('step', 'after')
";
        let running = body.cell(text, place).await;
        let short = Envelope { timeout: Some(Duration::from_secs(2)), ..sampled(&json!(null)) };
        let (answer, span) = recorded(&body, short).await;
        assert_eq!((answer, span.error), (Err(Code::Timeout), Some(Code::Timeout)), "{place}");
        assert_eq!(span.notes, [attribute("step", "before")], "{place}");
        running.stop().await;
    }
}

#[tokio::test]
async fn what_a_cell_says_is_bounded_and_never_fails_it() {
    for place in PLACES {
        let body = Body::new();
        let text = "
async def run(ctx, input):
    ctx.span.attribute('half \\ud800', '\\udfff')
    ctx.span.attribute('long', 'é' * 5_000)
    for number in range(input):
        ctx.span.attribute('n', number)
    raise ValueError('a secret')
";
        let running = body.cell(text, place).await;
        let (answer, span) = recorded(&body, sampled(&json!(100))).await;
        assert_eq!(answer, Err(Code::CellFailed), "{place}\n{}", body.log.text());
        assert_eq!(span.notes[1], attribute("long", &"é".repeat(512)), "{place}");
        assert_eq!((span.notes.len(), &span.notes[63]), (64, &attribute("n", "61")), "{place}");
        assert_eq!(span.notes_dropped, 2 + 100 - 64, "{place}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_sampled_trace_stays_so_through_a_cell_to_its_own_calls() {
    for place in PLACES {
        let body = Body::new();
        body.file(
            "other.py",
            "async def run(ctx, input):\n    return [ctx.span.sampled, ctx.traceparent]\n",
        );
        let _other = body.start("demo.other", "other.py:run", place).await;
        let text = "async def run(ctx, input):\n    return [ctx.traceparent, *await ctx.call('demo.other')]\n";
        let _running = body.cell(text, place).await;
        let request = sampled(&json!(null));
        let span_id = cbs::span_of_attempt(request.id, 1);
        let (answer, span) = recorded(&body, request).await;
        let here = Trace { span_id, ..span.trace };
        assert_eq!((span.trace, here.is_sampled()), (here, true));
        let answer = answer.unwrap();
        assert_eq!((&answer[0], &answer[1]), (&json!(here.to_string()), &json!(true)), "{place}");
        let there = answer[2].as_str().unwrap();
        assert!(
            there.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && there.ends_with("-01"),
            "{there}"
        );
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_is_bounded_and_counted_and_holds_nobody_up() {
    let body = Body::new();
    let text = "
async def run(ctx, input: int):
    for number in range(input):
        ctx.log.info('flood %s', number)
    print('printed all the same')
    ctx.log.debug('not shown')
";
    let running = body.cell(text, "").await;
    let began = Instant::now();
    let request = sampled(&json!(20_000));
    let trace = format!("trace_id={}", "0af7651916cd43dd8448eb211c80319c");
    let (answer, _) = recorded(&body, request).await;
    assert_eq!(answer, Ok(json!(null)), "{}", body.log.text());
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    body.log.has(&["INFO", "demo.cell", "flood 0", &trace]).await;
    body.log.has(&["INFO", "printed all the same", &trace]).await;
    body.log
        .has(&["WARN", "cbs::log", "demo.cell", "lines that the cell logged were left out"])
        .await;
    running.stop().await;
    let written = body.log.records().iter().filter(|line| line.contains("flood ")).count();
    let dropped = Stats::lines_dropped().load(Ordering::Relaxed);
    assert_eq!(written as u64 + dropped, 20_000, "every line is written or counted");
    assert!((1_000..10_000).contains(&written), "{written}");
}

#[tokio::test]
async fn a_line_of_the_log_has_the_same_fields_in_the_body_and_in_a_process() {
    let text = "async def run(ctx, input):
    ctx.log.warning('placed', extra={'sku': 'green tea', 'id': 'mine', 'count': 2})\n";
    for place in PLACES {
        let body = Body::new();
        let running = body.cell(text, place).await;
        let request =
            Envelope { timeout: Some(LONG), ..Envelope::request(target("demo.cell"), "null") };
        let id = request.id;
        body.bus.call(request).await.unwrap();
        body.log.has(&["placed"]).await;
        let log = body.log.text();
        let line = log.lines().find(|line| line.contains("placed")).unwrap();
        let fields = r#"{"count":"2","extra_id":"mine","sku":"green tea"}"#;
        let trace = id.simple();
        let own = format!("logger=demo.cell cbs.fields={fields}");
        let expected = format!(
            "WARN cbs::cell: placed cell=demo.cell id={id} correlation_id={id} trace_id={trace} {own}"
        );
        assert!(line.ends_with(&expected), "{place}: {line}\n{expected}");
        running.stop().await;
    }
}
