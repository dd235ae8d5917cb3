//! Questions to bodies.

use std::time::{Duration, Instant};

use cbs::{CellError, Code};
use serde_json::{Value, json};
use testkit::{NatsServer, within};

use crate::support::{LONG, body, client, plain};

const WAIT: Duration = LONG;

fn answers(nats: &bus_nats::Nats, with: &'static str) {
    nats.on_admin_request("who", move |question| async move {
        match question["fail"].as_bool() {
            Some(true) => Err(CellError::bad_request("asked to fail")),
            _ => Ok(json!({ "with": with, "bytes": "x".repeat(question["bytes"].as_u64().unwrap_or(0) as usize) })),
        }
    });
}

#[tokio::test]
async fn all_bodies_answer_a_question_soon_and_one_answers_its_own() {
    let server = NatsServer::start().await;
    let (one, two, client) =
        (body(&server, "body-1").await, body(&server, "body-2").await, client(&server).await);
    answers(&one, "one");
    answers(&two, "two");
    let asked = Instant::now();
    let all = client.ask_all(&json!({ "ask": "who" }), WAIT).await.unwrap();
    assert!(asked.elapsed() < WAIT / 2, "{:?}", asked.elapsed());
    let with = |answer: &Result<Value, CellError>| {
        answer.as_ref().unwrap()["with"].as_str().unwrap().to_owned()
    };
    let reported: Vec<_> =
        all.iter().map(|(body, answer)| (body.to_string(), with(answer))).collect();
    assert_eq!(
        reported,
        [("body-1".to_owned(), "one".to_owned()), ("body-2".to_owned(), "two".to_owned())]
    );
    let own = client.ask(&"body-2".parse().unwrap(), &json!({ "ask": "who" }), WAIT).await.unwrap();
    assert_eq!(own["with"], "two");
}

#[tokio::test]
async fn what_cannot_be_answered_is_an_error_with_its_code() {
    let server = NatsServer::start().await;
    let (one, client) = (body(&server, "body-1").await, client(&server).await);
    answers(&one, "one");
    let id = "body-1".parse().unwrap();
    for (question, code) in [
        (json!({ "ask": "nonsense" }), Code::NotFound),
        (json!({ "ask": 7 }), Code::NotFound),
        (json!({ "ask": "who", "fail": true }), Code::BadRequest),
        (json!({ "ask": "who", "bytes": client.server().max_payload }), Code::TooLarge),
    ] {
        let error = client.ask(&id, &question, WAIT).await.unwrap_err();
        assert_eq!(*error.code(), code, "{question}");
    }
    let error =
        client.ask(&"nobody".parse().unwrap(), &json!({ "ask": "who" }), WAIT).await.unwrap_err();
    assert_eq!(*error.code(), Code::NotFound);
    one.close().await;
    assert_eq!(client.ask_all(&json!({ "ask": "who" }), WAIT).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_no_question_is_a_sign_of_life_also_while_an_answer_is_looked_for() {
    let server = NatsServer::start().await;
    let one = body(&server, "body-1").await;
    let client = plain(&server).await;
    one.on_admin_request("hang", |_| std::future::pending());
    for _ in 0..64 {
        client
            .publish_with_reply(
                "cbs.default.body.body-1.ctl",
                client.new_inbox(),
                r#"{"ask":"hang"}"#.into(),
            )
            .await
            .unwrap();
    }
    for payload in ["", "{}", "garbage", "[1]"] {
        let sign = client.request("cbs.default.body.body-1.ctl", payload.into());
        assert_eq!(
            within(LONG, "a sign of life", sign).await.unwrap().payload,
            r#"{"body":"body-1"}"#,
            "{payload}"
        );
    }
}
