//! Ids and limits that a cell's calls and events carry without the author's help, and the answers
//! of a typed cell to bad input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use std::{
    collections::BTreeMap,
    future,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cbs::{
    BodyBus, BoxFuture, BusError, Bytes, CellContext, CellEnv, CellError, Code, Console, Envelope,
    EventStream, Outcome, Service, Serving, Subscription, TIMEOUT_DEFAULT, Trace, Uuid, span_of,
    to_json,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testkit::vectors;

/// Keeps what is sent and answers every call with the same.
struct Outside {
    sent: Mutex<Vec<Envelope>>,
    printed: Mutex<Vec<String>>,
    answer: Result<&'static str, CellError>,
}

impl BodyBus for Outside {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        self.sent.lock().unwrap().push(request);
        Box::pin(future::ready(self.answer.clone().map(Envelope::reply).map_err(Into::into)))
    }
    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        self.sent.lock().unwrap().push(event);
        Box::pin(future::ready(Ok(())))
    }
    fn serve(&self, _: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        unreachable!("a cell does not serve")
    }
    fn subscribe(&self, _: Subscription) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        unreachable!("a cell does not subscribe")
    }
}

impl Console for Outside {
    fn print(&self, line: String) -> BoxFuture<'_, Result<(), CellError>> {
        self.printed.lock().unwrap().push(line);
        Box::pin(future::ready(Ok(())))
    }
    fn ask(&self, question: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(future::ready(Ok(Some(format!("{question} Ada")))))
    }
}

fn outside(answer: Result<&'static str, CellError>) -> Arc<Outside> {
    Arc::new(Outside { sent: Mutex::default(), printed: Mutex::default(), answer })
}

fn env(outside: &Arc<Outside>) -> Arc<CellEnv> {
    let env = CellEnv::new(
        "shop.cart".parse().unwrap(),
        "web1".parse().unwrap(),
        outside.clone(),
        outside.clone(),
    );
    Arc::new(env.with_spec("a1b2".into(), json!({ "currency": "EUR" })))
}

fn request() -> Envelope {
    Envelope::request("shop.cart".parse().unwrap(), "{}")
}

/// Envelopes that a cell sends when it calls and publishes once while it handles the request.
async fn sent_while_handling(request: &Envelope) -> [Envelope; 2] {
    let outside = outside(Ok("7"));
    let context = CellContext::new(env(&outside), request);
    assert_eq!(context.call::<_, u32>("stock.reserve", &3).await, Ok(7));
    context.publish("order.placed", "seven").await.unwrap();
    let sent = outside.sent.lock().unwrap().clone();
    sent.try_into().unwrap()
}

#[tokio::test]
async fn calls_and_events_carry_correlation_causation_and_source() {
    let root = request();
    for sent in sent_while_handling(&root).await {
        assert_ne!(sent.id, root.id);
        assert_eq!((sent.correlation_id, sent.causation_id), (Some(root.id), Some(root.id)));
        let source = &sent.source;
        assert_eq!(
            (&*source.body, &*source.cell, &*source.revision),
            ("web1", "cell shop.cart", "a1b2")
        );
    }
    let began = Uuid::now_v7();
    let nested =
        Envelope { correlation_id: Some(began), causation_id: Some(Uuid::now_v7()), ..request() };
    let [call, event] = sent_while_handling(&nested).await;
    for sent in [&call, &event] {
        assert_eq!((sent.correlation_id, sent.causation_id), (Some(began), Some(nested.id)));
    }
    assert_eq!(
        (call.target, call.payload),
        (Some("stock.reserve".parse().unwrap()), Bytes::from("3"))
    );
    assert_eq!(
        (event.target, event.payload),
        (Some("topic order.placed".parse().unwrap()), Bytes::from("\"seven\""))
    );
}

#[tokio::test]
async fn without_a_foreign_trace_none_is_sent_and_the_ids_imply_it() {
    let root = request();
    for sent in sent_while_handling(&root).await {
        assert_eq!(sent.foreign_trace, None);
        assert_eq!(
            sent.trace(),
            Trace { trace_id: root.id.into_bytes(), span_id: span_of(root.id), flags: 0 }
        );
        assert_eq!(sent.trace(), CellContext::new(env(&outside(Ok("{}"))), &root).trace());
    }
}

#[tokio::test]
async fn a_foreign_trace_goes_on_with_the_handling_as_its_span() {
    let foreign = Trace { trace_id: [7; 16], span_id: [9; 8], flags: 1 };
    let request =
        Envelope { foreign_trace: Some(foreign), tracestate: "vendor=1".into(), ..request() };
    for sent in sent_while_handling(&request).await {
        assert_eq!(sent.foreign_trace, Some(Trace { span_id: span_of(request.id), ..foreign }));
        assert_eq!(sent.tracestate, "vendor=1");
    }
}

#[tokio::test]
async fn the_remaining_time_only_shrinks_and_goes_along_with_calls() {
    let timeout = Duration::from_secs(2);
    let request = Envelope { timeout: Some(timeout), ..request() };
    let context = CellContext::new(env(&outside(Ok("{}"))), &request);
    let first = context.remaining();
    assert!(first <= timeout && first > timeout / 2);
    let sent = context.request("stock.reserve".parse().unwrap(), "{}").timeout.unwrap();
    assert!(sent <= first, "first {first:?}, sent {sent:?}");
    let started = Instant::now();
    while context.remaining() == first {
        assert!(started.elapsed() < timeout, "time stands still");
    }
    assert!(context.remaining() < first);
    // An event has no caller that waits.
    let [_, event] = sent_while_handling(&request).await;
    assert_eq!(event.timeout, None);
}

#[test]
fn no_timeout_is_the_default_none_left_is_none_and_any_fits_the_clock() {
    let remaining = |timeout| {
        let request = Envelope { timeout, ..request() };
        CellContext::new(env(&outside(Ok("{}"))), &request).remaining()
    };
    assert!(remaining(None) <= TIMEOUT_DEFAULT && remaining(None) > TIMEOUT_DEFAULT / 2);
    assert_eq!(remaining(Some(Duration::ZERO)), Duration::ZERO);
    assert!(remaining(Some(Duration::MAX)) > Duration::from_secs(3_600));
    assert!(remaining(Some(Duration::from_millis(u64::MAX))) > Duration::from_secs(3_600));
}

#[tokio::test]
async fn names_that_are_none_are_told_before_anything_is_sent() {
    let outside = outside(Ok("{}"));
    let context = CellContext::new(env(&outside), &request());
    let called = context.call::<_, Value>("Stock.Reserve", &()).await.unwrap_err();
    let published = context.publish("order.*", &()).await.unwrap_err();
    for error in [called, published] {
        assert_eq!(error.code, Code::BadRequest);
        assert!(error.message.contains("for example"), "{error}");
    }
    assert!(outside.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn another_cells_error_comes_back_as_it_is() {
    let error =
        CellError::domain("stock.empty", "no more tea").retryable().with_details(json!([1]));
    let context = CellContext::new(env(&outside(Err(error.clone()))), &request());
    assert_eq!(context.call::<_, Value>("stock.reserve", &()).await, Err(error.clone()));
    let sent = context.send(context.request("stock.reserve".parse().unwrap(), "{}")).await;
    assert_eq!(sent, Err(BusError::new(error, Outcome::Ran)));
}

#[tokio::test]
async fn a_cell_reaches_its_home_and_the_terminal() {
    let outside = outside(Ok("{}"));
    let request = Envelope { attempt: 2, ..request() };
    let context = CellContext::new(env(&outside), &request);
    context.print("Hello, Ada!").await.unwrap();
    assert_eq!(*outside.printed.lock().unwrap(), ["Hello, Ada!"]);
    assert_eq!(context.ask("Who?").await, Ok(Some("Who? Ada".to_owned())));
    assert_eq!(context.env().config, json!({ "currency": "EUR" }));
    assert_eq!(
        (context.id(), context.correlation_id(), context.attempt()),
        (request.id, request.id, 3)
    );
}

#[derive(Deserialize)]
struct Order {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    count: u8,
}

#[derive(Serialize)]
struct Total {
    count: u32,
}

async fn total(_: &CellContext, order: Order) -> Result<Total, CellError> {
    Ok(Total { count: order.items.iter().map(|item| u32::from(item.count)).sum() })
}

async fn ask(payload: &str) -> Result<Bytes, CellError> {
    let cell = cbs::cell("shop.total", total);
    let request = Envelope::request(cell.name().parse().unwrap(), payload.to_owned());
    let context = CellContext::new(env(&outside(Ok("{}"))), &request);
    cell.cell().call(&context, request).await.map(|reply| reply.payload)
}

#[tokio::test]
async fn a_typed_cell_reads_and_writes_json() {
    assert_eq!(
        ask(r#"{"items":[{"count":3},{"count":4}],"more":true}"#).await.unwrap(),
        r#"{"count":7}"#
    );
}

#[tokio::test]
async fn a_typed_cell_says_which_field_of_its_input_is_wrong() {
    let cases = [
        (r#"{"items":[{"count":3},{"count":"4"}]}"#, "items[1].count", "invalid type: string"),
        (r#"{"items":[{"count":300}]}"#, "items[0].count", "invalid value: integer `300`"),
        (r#"{"items":[{}]}"#, "items[0]", "missing field `count`"),
        (r#"{"items":7}"#, "items", "invalid type: integer"),
        ("{}", ".", "missing field `items`"),
        ("[7]", "[0]", "invalid type: integer"),
        ("null", ".", "invalid type: null"),
        ("", ".", "invalid type: null"),
        ("{", ".", "EOF"),
        ("no json", ".", "expected"),
    ];
    for (payload, path, message) in cases {
        let error = ask(payload).await.unwrap_err();
        assert_eq!(error.code, Code::BadRequest, "{payload}: {error}");
        assert!(error.message.contains(message), "{payload}: {error}");
        assert_eq!(error.details, Some(json!({ "path": path })), "{payload}");
        let named = if path == "." { "the payload: ".to_owned() } else { format!("`{path}`: ") };
        assert!(error.message.starts_with(&named), "{payload}: {error}");
    }
    let trailing = ask(r#"{"items":[]} {}"#).await.unwrap_err();
    assert_eq!(trailing.code, Code::BadRequest);
    assert!(trailing.message.contains("trailing characters"), "{trailing}");
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Shape {
    Circle { radius: f64 },
    Line(f32, f32),
    Point,
}

#[derive(Default, Serialize)]
struct Drawing {
    note: Option<String>,
    shapes: Vec<Shape>,
    by_name: BTreeMap<String, (u8, Option<f64>)>,
}

#[test]
fn a_number_that_json_has_not_is_refused_with_its_place() {
    let by_name = |number| BTreeMap::from([("a b".to_owned(), (1, Some(number)))]);
    let cases = [
        (
            Drawing {
                shapes: vec![Shape::Point, Shape::Circle { radius: f64::NAN }],
                ..Drawing::default()
            },
            "`shapes[1].circle.radius`: NaN",
        ),
        (
            Drawing { shapes: vec![Shape::Line(1.0, f32::NEG_INFINITY)], ..Drawing::default() },
            "`shapes[0].line[1]`: -Infinity",
        ),
        (
            Drawing { by_name: by_name(f64::INFINITY), ..Drawing::default() },
            "`by_name.a b[1]`: Infinity",
        ),
    ];
    for (value, place) in cases {
        let error = to_json(&value).unwrap_err();
        assert_eq!(
            (error.code, error.message),
            (Code::CellFailed, format!("no JSON: {place} is no number of JSON"))
        );
    }
    assert_eq!(to_json(&f64::NAN).unwrap_err().message, "no JSON: NaN is no number of JSON");
    let fine = Drawing {
        shapes: vec![Shape::Circle { radius: 1.5 }],
        by_name: by_name(0.5),
        ..Drawing::default()
    };
    let json = json!({"note": null, "shapes": [{"circle": {"radius": 1.5}}], "by_name": {"a b": [1, 0.5]}});
    assert_eq!(serde_json::from_slice::<Value>(&to_json(&fine).unwrap()).unwrap(), json);
    assert_eq!(to_json(&BTreeMap::from([((1, 2), 3)])).unwrap_err().code, Code::CellFailed);
}

#[tokio::test]
async fn what_a_cell_cannot_write_is_its_own_failure_and_callers_get_an_id() {
    async fn average(_: &CellContext, (): ()) -> Result<f64, CellError> {
        Ok(f64::NAN)
    }
    let outside = outside(Ok("[]"));
    let request = Envelope::request("shop.average".parse().unwrap(), "null");
    let context = CellContext::new(env(&outside), &request);
    let failed = CellError::cell_failed(request.id);
    let cell = cbs::cell("shop.average", average);
    assert_eq!(cell.cell().call(&context, request).await, Err(failed.clone()));
    assert_eq!(context.call::<_, Value>("stock.reserve", &f64::NAN).await, Err(failed.clone()));
    assert_eq!(context.publish("order.placed", &[f64::NAN]).await, Err(failed));
    assert!(outside.sent.lock().unwrap().is_empty());
    let misfit = context.call::<_, u32>("stock.reserve", &()).await.unwrap_err();
    assert_eq!(misfit.code, Code::Internal);
    assert!(
        misfit
            .message
            .starts_with("the reply of stock.reserve does not fit: the payload: invalid type"),
        "{misfit}"
    );
}

#[tokio::test]
async fn an_integer_beyond_64_bits_is_a_bad_request_that_names_the_field() {
    async fn echo(_: &CellContext, input: Value) -> Result<Value, CellError> {
        Ok(input)
    }
    let payloads: Value = vectors::read("payloads.json");
    let beyond = payloads["beyond-64-bits"].as_array().unwrap();
    assert!(!beyond.is_empty());
    for vector in beyond {
        let payload = vectors::unhex(vector["payload"].as_str().unwrap());
        let request = Envelope::request("demo.echo".parse().unwrap(), payload);
        let context = CellContext::new(env(&outside(Ok("18446744073709551616"))), &request);
        let error = cbs::cell("demo.echo", echo).cell().call(&context, request).await.unwrap_err();
        assert_eq!(
            (error.code, error.details),
            (Code::BadRequest, Some(json!({ "path": vector["path"] }))),
            "{vector}"
        );
        assert!(
            error.message.ends_with("an integer beyond 64 bits: send it as a text"),
            "{}",
            error.message
        );
        let reply = context.call::<_, Value>("demo.other", &1).await.unwrap_err();
        assert_eq!(reply.code, Code::Internal);
    }
}
