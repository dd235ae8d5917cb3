//! Routes of calls.

use e2e::{Fleet, Tap};
use serde_json::json;

use crate::stories;

/// Returns the subjects of the received messages without events: the events of a body's start may
/// come late.
fn received(tap: &mut Tap) -> Vec<String> {
    let received = tap.received().into_iter().map(|(subject, _)| subject);
    received.filter(|subject| !subject.starts_with("cbs.default.event.")).collect()
}

/// Returns the calls among the received messages.
fn calls(tap: &mut Tap) -> Vec<String> {
    received(tap).into_iter().filter(|subject| subject.starts_with("cbs.")).collect()
}

#[tokio::test]
async fn a_call_within_a_body_never_touches_the_network() {
    let fleet = Fleet::start().await;
    let _body = fleet.up(&stories("one").cell("story.calls", "").cell("story.tells", "")).await;
    let caller = fleet.caller().await;
    let mut tap = caller.tap().await;
    let answer = caller.call("story.calls", &json!({ "cell": "story.tells" })).await;
    assert_eq!(answer.text("caller"), "cell story.calls");
    // The request and its reply, and nothing between them.
    let received = received(&mut tap);
    assert_eq!(
        (received.len(), received[0].as_str()),
        (2, "cbs.default.cell.story.calls"),
        "{received:?}"
    );
    assert!(received[1].starts_with("_INBOX."), "{received:?}");
}

#[tokio::test]
async fn the_same_call_goes_over_nats_where_the_spec_says_so() {
    let fleet = Fleet::start().await;
    let _body =
        fleet.up(&stories("one").cell("story.calls", "").cell("story.tells", "route: nats")).await;
    let caller = fleet.caller().await;
    let mut tap = caller.tap().await;
    let answer = caller.call("story.calls", &json!({ "cell": "story.tells" })).await;
    assert_eq!(
        (answer.text("body"), answer.text("caller")),
        ("one".to_owned(), "cell story.calls".to_owned())
    );
    assert_eq!(calls(&mut tap), ["cbs.default.cell.story.calls", "cbs.default.cell.story.tells"]);
}

#[tokio::test]
async fn a_call_that_finds_its_body_full_goes_to_another_and_never_comes_back() {
    let fleet = Fleet::start().await;
    let holds = "concurrency: 1, queue: 0, timeout: 1m";
    let full = stories("full")
        .cell("story.calls", "timeout: 1m")
        .cell("story.holds", holds)
        .cell("story.frees", "");
    let mut full = fleet.up(&full).await;
    let caller = fleet.caller().await;
    let call = |hold: bool| json!({ "cell": "story.holds", "input": { "hold": hold } });
    let hold = call(true);
    let pass = call(false);
    let (held, ()) = tokio::join!(caller.call("story.calls", &hold), async {
        full.until_printed("\nheld\n").await;
        // One body alone refuses; with another body, that one answers.
        assert_eq!(caller.call("story.calls", &pass).await.status, 429);
        let mut other = fleet.up(&stories("other").cell("story.holds", "")).await;
        for _ in 0..5 {
            let answer = caller.call("story.calls", &pass).await;
            assert_eq!(answer.text("body"), "other", "{answer:?}");
        }
        other.terminate().await.with_status(0);
        caller.call("story.frees", &json!(null)).await;
    });
    assert_eq!(held.text("body"), "full");
    assert_eq!(caller.call("story.calls", &pass).await.text("body"), "full");
}
