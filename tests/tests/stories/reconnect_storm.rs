//! Many deploys in a row, while calls come all the time.

use std::time::{Duration, Instant};

use e2e::{Body, Fleet, Load};
use futures::future::join_all;
use serde_json::json;
use testkit::within;

use crate::measured;

/// Limit of the slowest deploy, from the command's start until the new text answers, on a machine
/// that also builds.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes twenty edits in full.
#[tokio::test]
async fn edits_of_a_python_cell_are_deployed_in_a_row_under_500_calls_a_second_and_none_fails() {
    let fleet = Fleet::with_jetstream().await;
    let _bodies =
        join_all(["one", "two", "three"].map(async |id| fleet.up(&Body::without_files(id)).await))
            .await;
    fleet.deploy(&fleet.world.says("text 0", ", replicas: 2")).await.with_status(0);
    let caller = fleet.caller().await;
    let load = Load::new(&caller, "demo.say", json!({}));
    let edits = async {
        let mut took = Vec::new();
        for edit in 1..=if e2e::in_full() { 20 } else { 4 } {
            let text = format!("text {edit}");
            let began = Instant::now();
            let folder = fleet.world.says(&text, ", replicas: 2");
            let seen = async {
                loop {
                    if caller.call("demo.say", &json!({})).await.text("text") == text {
                        return began.elapsed();
                    }
                }
            };
            let deploy = fleet.deploy(&folder);
            let (done, first) = tokio::join!(deploy, within(LIMIT, "the new text", seen));
            done.with_status(0);
            // All bodies have followed: no body answers with the old text.
            for _ in 0..20 {
                assert_eq!(caller.call("demo.say", &json!({})).await.text("text"), text);
            }
            took.push((first.as_millis(), began.elapsed().as_millis()));
        }
        took
    };
    let took = tokio::select! {
        took = edits => took,
        () = load.at_pace(25, 500) => unreachable!("calls go on until the edits are done"),
    };
    assert_eq!(load.failed(), Vec::<String>::new());
    measured(&format!("ms to the first new text, to the end: {took:?}; {} calls", load.answered()));
}
