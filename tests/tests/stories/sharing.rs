//! Several bodies serve one cell, and start and stop under load.

use e2e::{Body, Fleet, Load, Process};
use serde_json::json;

use crate::stories;

const CALLERS: usize = 8;

fn slow(id: &str) -> Body {
    stories(id).cell("story.slow", "")
}

/// Starts a body that stays, and one that will end.
async fn two() -> (Fleet, Process, Process) {
    let fleet = Fleet::start().await;
    let stays = fleet.up(&slow("stays")).await;
    let goes = fleet.up(&slow("goes")).await;
    (fleet, stays, goes)
}

#[tokio::test]
async fn two_bodies_on_one_server_share_a_cells_calls() {
    let (fleet, _stays, _goes) = two().await;
    let load = Load::new(&fleet.caller().await, "story.slow", json!({}));
    load.run(CALLERS, 25).await;
    assert_eq!((load.answered(), load.failed()), (CALLERS * 25, vec![]));
    // The server picks at random: a body practically never gets fewer than 20 of 200.
    assert!(load.answered_by("stays") >= 20 && load.answered_by("goes") >= 20, "{load:?}");
}

#[tokio::test]
async fn a_body_killed_under_load_costs_only_the_calls_that_it_held() {
    let (fleet, _stays, mut goes) = two().await;
    let load = Load::new(&fleet.caller().await, "story.slow", json!({ "ms": 10 }));
    tokio::join!(load.run(CALLERS, 100), async {
        load.until_answered_by("goes", 20).await;
        goes.kill().await;
    });
    assert!(load.failed().len() <= CALLERS, "{load:?}");
    assert_eq!(load.answered() + load.failed().len(), CALLERS * 100);
    assert!(load.answered_by("stays") > load.answered_by("goes"), "{load:?}");
}

#[tokio::test]
async fn a_body_told_to_stop_under_load_costs_no_call_at_all() {
    let fleet = Fleet::start().await;
    let _stays = fleet.up(&slow("stays")).await;
    for _ in 0..5 {
        let mut goes = fleet.up(&slow("goes")).await;
        let load = Load::new(&fleet.caller().await, "story.slow", json!({ "ms": 10 }));
        let (_, done) = tokio::join!(load.run(CALLERS, 50), async {
            load.until_answered_by("goes", 20).await;
            goes.terminate().await
        });
        assert_eq!((load.answered(), load.failed()), (CALLERS * 50, vec![]));
        done.with_status(0);
    }
}
