//! More requests than a cell has capacity for.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{ConnectOptions, HeaderMap};
use e2e::{Caller, Fleet};
use futures::StreamExt;
use serde_json::json;
use testkit::within;

use crate::stories;

const COUNT: usize = 100_000;
/// Number of calls that run at once and that wait: with a handler of 1 s they take 3 s.
const ROOM: &str = "concurrency: 1000, queue: 2000, timeout: 1m";

#[tokio::test]
async fn of_100_000_requests_at_once_every_one_is_answered_and_none_times_out() {
    let (fleet, monitor) = Fleet::monitored().await;
    let mut body = fleet.up(&stories("one").cell("story.slow", ROOM)).await;
    let options = ConnectOptions::new().subscription_capacity(COUNT);
    let caller = Caller::connect(fleet.server.url(), options).await;
    let answers = within(Duration::from_secs(150), "all answers", flood(&caller)).await;

    let of = |status: &str| answers.values().filter(|answer| *answer == status).count();
    assert_eq!((answers.len(), of("") + of("429")), (COUNT, COUNT));
    assert!(of("") >= 3000, "only {} were done", of(""));
    let stats = &caller.services("STATS", &["story"]).await["story"]["endpoints"][0];
    assert_eq!(
        (&stats["num_requests"], &stats["data"]["shed"]),
        (&json!(COUNT), &json!(of("429"))),
        "{stats}"
    );
    assert_eq!(monitor.number("slow_consumers").await, 0);
    let log = body.terminate().await.with_status(0).stderr;
    assert!(!log.contains("dropped"), "{log}");
}

/// Sends the requests as fast as possible; returns the error code of each answer by the request's
/// number.
async fn flood(caller: &Caller) -> BTreeMap<usize, String> {
    let client = caller.client();
    let inbox = caller.client().new_inbox();
    let mut replies = client.subscribe(format!("{inbox}.*")).await.unwrap();
    let headers: HeaderMap =
        [("Cbs-Timeout-Ms".parse().unwrap(), "60000".parse().unwrap())].into_iter().collect();
    let send = async {
        for number in 0..COUNT {
            let reply = format!("{inbox}.{number}");
            let payload = r#"{"ms":1000}"#.into();
            let subject = "cbs.default.cell.story.slow";
            client
                .publish_with_reply_and_headers(subject, reply, headers.clone(), payload)
                .await
                .unwrap();
        }
    };
    let receive = async {
        let mut answers = BTreeMap::new();
        while answers.len() < COUNT {
            let reply = replies.next().await.unwrap();
            let number = reply.subject.rsplit('.').next().unwrap().parse().unwrap();
            let code =
                reply.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error-Code"));
            let code = code.map(ToString::to_string).unwrap_or_default();
            assert_eq!(answers.insert(number, code), None, "request {number} was answered twice");
        }
        answers
    };
    tokio::join!(send, receive).1
}
