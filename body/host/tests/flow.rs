//! The driver of flows: steps that run at once, retries, and the time they take.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bus::InProcess;
use cbs::{
    BodyBus, BusError, CellContext, CellError, Code, Envelope, FlowName, Handler, NativeCell,
    Outcome, Target, Transport,
};
use flow::LogEntry;
use host::{CallLimits, FlowHandler, Schemas, StepObserver, StepReport};
use serde_json::{Value, json};
use support::{Logged, bus, call, env, serve, specs, target};
use testkit::{ScriptedPeer, peer};
use tokio::time::Instant;

/// The lines of a watched run.
#[derive(Default)]
struct Watched(Mutex<Vec<String>>);

impl StepObserver for Watched {
    fn finished(&self, report: &StepReport<'_>) {
        let outcome =
            report.outcome.map_or_else(|error| error.code.to_string(), |()| "ok".to_owned());
        let StepReport { flow, call, target, body, via, .. } = report;
        self.0.lock().unwrap().push(format!("{flow} {call} {target} [{body}] {via} {outcome}"));
    }
    fn noted(&self, flow: &FlowName, note: &LogEntry) {
        self.0.lock().unwrap().push(format!("{flow} {note:?}"));
    }
}

/// A flow named `test` with these steps, each a line of YAML.
fn handler(bus: Arc<dyn BodyBus>, steps: &str, watched: Option<Arc<Watched>>) -> Arc<FlowHandler> {
    let steps: String = steps.lines().map(|line| format!("    {line}\n")).collect();
    let yaml = format!(
        "apiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: {{ name: test }}\nspec:\n  timeout: 10s\n  steps:\n{steps}"
    );
    let options = spec::Options { allow_remote: true, ..spec::Options::default() };
    let specs = spec::load_texts([("flow.yaml".into(), yaml.as_str())], &options).unwrap();
    let flow = specs.flows().next().unwrap().clone();
    let observer = watched.map(|watched| watched as Arc<dyn StepObserver>);
    FlowHandler::new(
        flow.plan.clone(),
        Arc::new(env(bus, "flow test")),
        CallLimits { timeout: flow.timeout, ..CallLimits::default() },
        observer,
    )
}

/// Runs the flow against a scripted test.
async fn play(
    steps: &str,
    input: Value,
    test: impl AsyncFnOnce(&mut ScriptedPeer),
) -> Result<Value, BusError> {
    let (bus, mut peer) = peer();
    let flow = handler(bus, steps, None);
    let request = Envelope::request(target("flow test"), input.to_string());
    let (answer, ()) = tokio::join!(flow.handle(request), test(&mut peer));
    Ok(serde_json::from_slice(&answer?.payload).unwrap())
}

#[tokio::test]
async fn steps_that_do_not_depend_on_each_other_run_at_once() {
    let steps = r#"- { id: a, call: demo.a, with: "${ .input }", needs: [] }
- { id: b, call: demo.b, with: "${ .input }", needs: [] }
- { id: c, call: demo.c, with: ["${ .steps.a }", "${ .steps.b }"], needs: [a, b] }"#;
    let answer = play(steps, json!(1), async |peer| {
        // Both come before either is answered, and are answered in the other order.
        let a = peer.expect("demo.a").await;
        let b = peer.expect("demo.b").await;
        b.reply(json!("B"));
        a.reply(json!("A"));
        let c = peer.expect("demo.c").await;
        assert_eq!(c.input::<Value>(), json!(["A", "B"]));
        c.reply(json!("done"));
    })
    .await;
    assert_eq!(answer, Ok(json!("done")));
}

#[tokio::test]
async fn a_steps_call_carries_the_runs_ids_and_time() {
    let (bus, mut peer) = peer();
    let flow = handler(bus, r#"- { id: a, call: demo.a, timeout: 2s }"#, None);
    let mut request = Envelope::request(target("flow test"), "");
    request.correlation_id = Some(cbs::Uuid::from_u128(7));
    request.timeout = Some(Duration::from_secs(8));
    let id = request.id;
    let test = async {
        let step = peer.expect("demo.a").await;
        let sent = step.envelope();
        assert_eq!(
            (sent.correlation_id, sent.causation_id),
            (Some(cbs::Uuid::from_u128(7)), Some(id))
        );
        assert_eq!(sent.source.cell.as_str(), "flow test");
        assert_eq!((sent.timeout, sent.attempt), (Some(Duration::from_secs(2)), 0));
        // The id is derived, and holds no time: the time is sent beside it.
        let call: flow::CallId = "a".parse().unwrap();
        assert_eq!((sent.id, sent.kind), (call.id_in(id), cbs::Kind::Request));
        assert!(sent.time_ms > 0);
        step.reply(json!(null));
    };
    let (answer, ()) = tokio::join!(flow.handle(request), test);
    assert_eq!(answer.unwrap().source.body.as_str(), "web1");
}

#[tokio::test]
async fn each_attempt_of_a_flow_is_a_run_with_calls_of_its_own() {
    let (bus, mut peer) = peer();
    let flow = handler(bus, r#"- { id: a, call: demo.a }"#, None);
    let first = Envelope::request(target("flow test"), "");
    let second = Envelope { attempt: 1, ..first.clone() };
    let mut ids = Vec::new();
    for request in [first.clone(), second] {
        let test = async {
            let step = peer.expect("demo.a").await;
            ids.push((step.envelope().id, step.envelope().causation_id));
            step.reply(json!(null));
        };
        let (answer, ()) = tokio::join!(flow.handle(request), test);
        answer.unwrap();
    }
    let call: flow::CallId = "a".parse().unwrap();
    let of = |attempt| (call.id_in(flow::run_id(first.id, attempt)), Some(first.id));
    assert_eq!(ids, [of(0), of(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_and_keeps_the_calls_id() {
    let steps = r#"- { id: a, call: demo.a, retry: { max: 2, backoff: 1s, max_backoff: 1s } }"#;
    let answer = play(steps, json!(null), async |peer| {
        let first = peer.expect("demo.a").await;
        let id = first.envelope().id;
        let failed_at = Instant::now();
        first.answer(Err(BusError::overloaded(&target("demo.a"))));
        let second = peer.expect("demo.a").await;
        assert!(failed_at.elapsed() >= Duration::from_millis(500), "{:?}", failed_at.elapsed());
        assert_eq!((second.envelope().id, second.envelope().attempt), (id, 1));
        // Sent now, whatever time its id has: otherwise it would soon look stale.
        assert!(second.envelope().time_ms > 0);
        second.fail(CellError::domain("demo.busy", "later").retryable());
        let third = peer.expect("demo.a").await;
        assert_eq!((third.envelope().id, third.envelope().attempt), (id, 2));
        third.reply(json!("at last"));
    })
    .await;
    assert_eq!(answer, Ok(json!("at last")));
}

#[tokio::test]
async fn a_failed_step_is_caught_or_fails_the_flow() {
    let caught = r#"- { id: a, call: demo.a, catch: { call: demo.b, with: "${ .error.code }" } }"#;
    let answer = play(caught, json!(null), async |peer| {
        peer.expect("demo.a").await.fail(CellError::domain("stock.empty", "no tea"));
        let fallback = peer.expect("demo.b").await;
        assert_eq!(fallback.input::<String>(), "stock.empty");
        fallback.reply(json!("coffee"));
    })
    .await;
    assert_eq!(answer, Ok(json!("coffee")));

    let error = play("- { id: a, call: demo.a }", json!(null), async |peer| {
        peer.expect("demo.a").await.fail(CellError::domain("stock.empty", "no tea"));
    })
    .await
    .unwrap_err();
    assert_eq!((error.code().as_str(), error.outcome()), ("stock.empty", Outcome::Ran));
    assert!(
        error.error().message.contains("`a`") && error.error().message.contains("no tea"),
        "{error}"
    );
}

#[tokio::test]
async fn each_runs_so_many_items_at_once_and_keeps_their_order() {
    let steps = r#"- { id: all, call: demo.a, each: { items: "${ .input }", parallel: 2 }, with: "${ .item }" }"#;
    let answer = play(steps, json!([1, 2, 3]), async |peer| {
        let first = peer.expect("demo.a").await;
        let second = peer.expect("demo.a").await;
        assert_eq!((first.input::<u32>(), second.input::<u32>()), (1, 2));
        second.reply(json!("two"));
        let third = peer.expect("demo.a").await;
        assert_eq!(third.input::<u32>(), 3);
        third.reply(json!("three"));
        first.reply(json!("one"));
    })
    .await;
    assert_eq!(answer, Ok(json!(["one", "two", "three"])));
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_with_its_time() {
    let steps = r#"- { id: a, call: demo.a, retry: { max: 2, backoff: 1h, max_backoff: 1h } }"#;
    let began = Instant::now();
    let (bus, mut peer) = peer();
    let flow = handler(bus, steps, None);
    let patient = Envelope {
        timeout: Some(Duration::from_secs(60)),
        ..Envelope::request(target("flow test"), "")
    };
    let test = async {
        let step = peer.expect("demo.a").await;
        assert!(step.envelope().timeout.is_some_and(|timeout| timeout <= Duration::from_secs(10)));
        step.answer(Err(BusError::overloaded(&target("demo.a"))));
    };
    let (answer, ()) = tokio::join!(flow.handle(patient), test);
    assert_eq!((answer.unwrap_err().code(), began.elapsed().as_secs()), (&Code::Timeout, 10));
}

#[tokio::test]
async fn an_answer_that_is_no_json_fails_the_step() {
    for reply in [
        Envelope::reply("{"),
        Envelope { content_type: "text/plain".into(), ..Envelope::reply("{}") },
    ] {
        let error = play("- { id: a, call: demo.a }", json!(null), async |peer| {
            peer.expect("demo.a").await.answer(Ok(reply));
        })
        .await
        .unwrap_err();
        assert_eq!(error.code(), &Code::CellFailed);
        assert!(error.error().message.contains("a flow reads JSON"), "{error}");
    }
}

#[tokio::test]
async fn input_that_is_no_json_is_a_bad_request() {
    let flow = handler(bus(), "- { id: a, call: demo.a }", None);
    let error = flow.handle(Envelope::request(target("flow test"), "{")).await.unwrap_err();
    assert_eq!(error.code(), &Code::BadRequest);
}

async fn double(_: &CellContext, number: i64) -> Result<i64, CellError> {
    number.checked_mul(2).ok_or_else(|| CellError::domain("demo.range", "too much"))
}

async fn serve_flow(
    bus: &Arc<InProcess>,
    steps: &str,
    watched: Option<Arc<Watched>>,
) -> Box<dyn cbs::Serving> {
    bus.serve(handler(bus.clone(), steps, watched).service(Arc::default())).await.unwrap()
}

#[tokio::test]
async fn an_observer_hears_of_every_step() {
    let (bus, watched) = (bus(), Arc::<Watched>::default());
    let double: NativeCell = cbs::cell("demo.double", double);
    let _cell = serve(&bus, &double, CallLimits::default(), Schemas::default()).await;
    let steps = r#"- { id: twice, call: demo.double, with: "${ .input }" }
- { id: never, call: demo.double, when: "${ false }" }
- { id: bad, call: demo.double, with: "text", catch: { with: 7 } }"#;
    let _flow = serve_flow(&bus, steps, Some(watched.clone())).await;
    assert_eq!(call(&*bus, "flow test", json!(21)).await, Ok(json!(7)));
    let lines = watched.0.lock().unwrap().clone();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0], format!("test twice cell demo.double [web1] {} ok", Transport::InProcess));
    assert!(lines[1].starts_with("test Skipped"), "{lines:?}");
    assert_eq!(lines[2], "test bad cell demo.double [] in-process bad-request");
    assert!(lines[3].starts_with("test Caught"), "{lines:?}");
}

#[tokio::test]
async fn a_flow_that_calls_itself_for_ever_ends_with_an_error() {
    let bus = bus();
    async fn again(context: &CellContext, input: Value) -> Result<Value, CellError> {
        let again = context.request(target("flow test"), input.to_string());
        cbs::from_json(&context.send(again).await?.payload)
    }
    // Specs refuse flows that call each other in a loop. A loop through a cell is not visible
    // before.
    let _cell =
        serve(&bus, &cbs::cell("demo.again", again), CallLimits::default(), Schemas::default())
            .await;
    let _flow = serve_flow(&bus, "- { id: again, call: demo.again }", None).await;
    let error = call(&*bus, "flow test", json!(1)).await.unwrap_err();
    assert_eq!(error.code(), &Code::Refused, "{error}");
}

#[tokio::test]
async fn a_flow_calls_a_flow() {
    let bus = bus();
    let _cell =
        serve(&bus, &cbs::cell("demo.double", double), CallLimits::default(), Schemas::default())
            .await;
    let _inner =
        serve_flow(&bus, r#"- { id: a, call: demo.double, with: "${ .input }" }"#, None).await;
    let yaml = "apiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: { name: outer }\nspec:\n  steps:\n    \
                - { id: a, flow: test, with: \"${ .input }\" }\n    - { id: b, flow: test, with: \"${ .steps.a }\" }\n\
                ---\napiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: { name: test }\nspec:\n  steps:\n    \
                - { id: a, call: demo.double }\n\
                ---\napiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.double }\nspec: { runtime: rust }\n";
    let name: FlowName = "outer".parse().unwrap();
    let spec = specs(yaml).flow(&name).unwrap().clone();
    let outer = FlowHandler::new(
        spec.plan.clone(),
        Arc::new(env(bus.clone(), "flow outer")),
        CallLimits { timeout: spec.timeout, ..CallLimits::default() },
        None,
    );
    let _outer = bus.serve(outer.service(Arc::default())).await.unwrap();
    let reply = bus.call(Envelope::request(Target::Flow(name), "5")).await.unwrap();
    assert_eq!(reply.payload, "20");
}

#[tokio::test]
async fn what_a_flow_passes_on_stays_byte_for_byte() {
    let steps = r#"- { id: a, call: demo.a, with: "${ .input }" }
- { id: b, call: demo.b, with: { id: "${ .steps.a.id }", "all": "${ .steps.a }" } }"#;
    let (bus, mut peer) = peer();
    let flow = handler(bus, steps, None);
    let text = r#"{ "id": 12345678901234567890123, "price" : 1.50 }"#;
    let test = async {
        let a = peer.expect("demo.a").await;
        assert_eq!(a.envelope().payload, text);
        a.answer(Ok(Envelope::reply(text)));
        let b = peer.expect("demo.b").await;
        assert_eq!(
            b.envelope().payload,
            format!(r#"{{"all":{text},"id":12345678901234567890123}}"#)
        );
        b.answer(Ok(Envelope::reply("1e2")));
    };
    let (answer, ()) =
        tokio::join!(flow.handle(Envelope::request(target("flow test"), text)), test);
    assert_eq!(answer.unwrap().payload, "1e2");
}

#[tokio::test]
async fn a_failed_expression_gives_no_value_of_the_run_away() {
    let steps = r#"- { id: auth, call: demo.login }
- { id: b, call: demo.b, with: "${ .steps.auth + 1 }" }"#;
    let (log, _guard) = Logged::listen();
    let error = play(steps, json!(null), async |peer| {
        peer.expect("demo.login").await.reply(json!({"user": "ada", "token": "tok-SECRET"}));
    })
    .await
    .unwrap_err();
    assert!(log.text().contains("tok-SECRET"), "{}", log.text());
    let message = "step `b` failed: `${ .steps.auth + 1 }`: cannot add a map and a number";
    assert_eq!(
        (error.code().as_str(), error.error().message.as_str()),
        ("flow.expression", message)
    );
    assert!(!format!("{error:?}").contains("SECRET"));
}
