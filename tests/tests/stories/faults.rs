//! A fault of a cell does not harm other cells.

use e2e::Fleet;
use serde_json::json;

use crate::stories;

#[tokio::test]
async fn a_cell_that_panics_costs_its_caller_an_error_and_tells_no_stranger_why() {
    let fleet = Fleet::start().await;
    let mut body = fleet.up(&stories("one").cell("story.panics", "").cell("story.tells", "")).await;
    let caller = fleet.caller().await;
    let mut tap = caller.tap().await;
    // The cell joins the words, so that the request does not contain the joined text.
    let answer = caller.call("story.panics", &json!({ "words": ["sun", "flower"] })).await;
    assert_eq!((answer.status, answer.text("code")), (500, "cell-failed".to_owned()));
    let message = answer.text("message");
    let id = message.rsplit(' ').next().unwrap();
    // An answer does not wait for the log.
    let reported = body.until_told("sunflower").await;
    let line = reported
        .lines()
        .find(|line| line.contains("sunflower"))
        .unwrap_or_else(|| panic!("{reported}"));
    assert!(id.len() == 36 && line.contains(id), "{id} is not in {line}");
    let received = tap.received();
    assert!(received.len() >= 2 && !format!("{received:?}").contains("sunflower"), "{received:?}");
    assert_eq!(caller.call("story.tells", &json!({})).await.text("body"), "one");
}

#[tokio::test]
async fn a_cell_that_hangs_costs_its_caller_a_timeout_and_frees_its_slot() {
    let fleet = Fleet::start().await;
    let _body = fleet
        .up(&stories("one").cell("story.holds", "concurrency: 1, queue: 0, timeout: 300ms"))
        .await;
    let caller = fleet.caller().await;
    for _ in 0..3 {
        let answer = caller.call("story.holds", &json!({ "hold": true })).await;
        assert_eq!((answer.status, answer.text("code")), (504, "timeout".to_owned()));
        assert_eq!(caller.call("story.holds", &json!({ "hold": false })).await.text("body"), "one");
    }
}

#[tokio::test]
async fn a_cell_without_room_says_overloaded_at_once() {
    let fleet = Fleet::start().await;
    let mut body = fleet
        .up(&stories("one").cell("story.holds", "concurrency: 1, queue: 0").cell("story.frees", ""))
        .await;
    let caller = fleet.caller().await;
    let hold = json!({ "hold": true });
    let (held, ()) = tokio::join!(caller.call("story.holds", &hold), async {
        body.until_printed("\nheld\n").await;
        assert_eq!(caller.call("story.holds", &json!({})).await.status, 429);
        caller.call("story.frees", &json!(null)).await;
    });
    assert_eq!(held.text("body"), "one");
}

#[tokio::test]
async fn a_reply_that_no_server_would_take_is_too_large_and_nothing_else_suffers() {
    let fleet = Fleet::with_config("max_payload: 64KB\n").await;
    let _body = fleet.up(&stories("one").cell("story.big", "")).await;
    let caller = fleet.caller().await;
    let answer = caller.call("story.big", &json!({ "bytes": 65_536 })).await;
    assert_eq!((answer.status, answer.text("code")), (413, "too-large".to_owned()));
    assert_eq!(
        caller.call("story.big", &json!({ "bytes": 60_000 })).await.text("text").len(),
        60_000
    );
    let input = format!("\"{}\"", "x".repeat(65_536));
    let done = fleet.run(&["call", "story.big", &input]).await.with_status(1);
    assert!(done.stderr.starts_with("too-large: "), "{}", done.stderr);
}
