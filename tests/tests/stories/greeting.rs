//! The greeting, on real input.

use e2e::{Body, Fleet};
use serde_json::{Value, json};

/// Returns an input without a name.
fn wrong() -> Value {
    json!({ "nam": 1 }) // typos: meant
}

#[tokio::test]
async fn a_flow_greets_over_nats_and_the_body_prints_the_line() {
    let fleet = Fleet::start().await;
    let mut body = fleet.up(&Body::greeting("one")).await;
    let run = fleet.run(&["flow", "run", "greeting", r#"{"name":"Ada"}"#]).await.with_status(0);
    assert_eq!(run.stdout, "{\"text\":\"Hello, Ada!\"}\n");
    body.until_printed("\nHello, Ada!\n").await;
    body.terminate().await.with_status(0);
}

#[tokio::test]
async fn any_nats_client_calls_a_cell_with_plain_json() {
    let fleet = Fleet::start().await;
    let _body = fleet.up(&Body::greeting("one")).await;
    let caller = fleet.caller().await;
    let answer = caller.call("logic.greet", &json!({ "name": "Ada" })).await;
    assert_eq!((answer.status, &answer.payload[..]), (200, &br#"{"text":"Hello, Ada!"}"#[..]));
    let answer = caller.call("logic.greet", &wrong()).await;
    assert_eq!((answer.status, answer.text("code")), (400, "bad-request".to_owned()));
    assert!(
        answer.line.starts_with("bad-request: ") && answer.line.contains("name"),
        "{}",
        answer.line
    );
}

#[tokio::test]
async fn any_nats_client_finds_the_services_and_their_exact_numbers() {
    let fleet = Fleet::start().await;
    let _body = fleet.up(&Body::greeting("one")).await;
    let caller = fleet.caller().await;
    for input in
        [json!({ "name": "Ada" }), json!({ "name": "Grace" }), wrong(), json!({ "name": "Mary" })]
    {
        caller.call("logic.greet", &input).await;
    }
    let pinged = caller.services("PING", &["io", "logic", "flow"]).await;
    assert!(
        pinged.values().all(|answer| answer["type"] == "io.nats.micro.v1.ping_response"),
        "{pinged:?}"
    );
    assert_eq!(pinged["logic"]["metadata"]["cbs.body"], "one");
    let stats = &caller.services("STATS", &["logic"]).await["logic"]["endpoints"][0];
    assert_eq!(stats["subject"], "cbs.default.cell.logic.greet");
    assert_eq!((&stats["num_requests"], &stats["num_errors"]), (&json!(4), &json!(1)), "{stats}");
}

#[tokio::test]
async fn a_namespace_of_its_own_is_neither_reached_nor_shown() {
    let fleet = Fleet::start().await;
    let _body = fleet.up(&Body::greeting("one").with(&["--namespace", "test"])).await;
    let call = ["call", "logic.greet", r#"{"name":"Ada"}"#];
    assert!(fleet.run(&call).await.with_status(1).stderr.starts_with("not-found: "));
    assert!(fleet.caller().await.try_call("logic.greet", &[], &json!({})).await.is_err());
    let call = [&call[..], &["--namespace", "test"]].concat();
    assert_eq!(fleet.run(&call).await.with_status(0).stdout, "{\"text\":\"Hello, Ada!\"}\n");
}
