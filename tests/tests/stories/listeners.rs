//! A client that only subscribes to all messages, beside a fleet.

use std::time::Instant;

use e2e::{Body, Fleet, LIMIT};
use futures::StreamExt;
use serde_json::json;
use testkit::{eventually, within};

use crate::deploy::{says, until_said};

/// Limit that is shorter than the time that a barrier waits for its answer.
const QUICKLY: std::time::Duration = std::time::Duration::from_secs(4);

#[tokio::test]
async fn with_a_listener_to_everything_bodies_start_deploy_take_over_and_stop_as_ever() {
    let fleet = Fleet::with_jetstream().await;
    let caller = fleet.caller().await;
    let mut received =
        within(LIMIT, "a subscription", caller.client().subscribe(">")).await.unwrap();
    caller.client().publish("mark", "".into()).await.unwrap();
    within(LIMIT, "its own message", received.next()).await.unwrap();

    let mut one = fleet.up(&Body::without_files("one")).await;
    let two = fleet.up(&Body::without_files("two")).await;
    let done = fleet.deploy(&says(&fleet, "first")).await.with_status(0);
    assert!(done.stderr.contains("2 bodies follow"), "{}", done.stderr);
    caller.until_answered("demo.say", &json!({})).await;
    let started = Instant::now();
    let _ = one.terminate().await.with_status(0);
    assert!(started.elapsed() < QUICKLY, "{:?}", started.elapsed());
    eventually("the other has taken over", LIMIT, async || fleet.standings().await.are(1, 1)).await;
    until_said(&caller, "first").await;
    drop(two);
}
