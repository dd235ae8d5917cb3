//! NATS fails, and comes back.

use std::time::{Duration, Instant};

use e2e::{Body, Fleet, LIMIT, World, children, lives};
use serde_json::json;
use testkit::eventually;

use crate::stories;

/// Returns a body whose cell `story.watches` calls another one all the time, over NATS.
fn watching() -> Body {
    stories("one").cell("story.watches", "timeout: 5m").cell("story.tells", "route: nats")
}

#[tokio::test]
async fn while_nats_is_gone_calls_fail_fast_and_all_resumes_when_it_is_back() {
    let mut fleet = Fleet::start().await;
    let mut body = fleet.up(&watching()).await;
    let watch = json!({ "cell": "story.tells" });
    fleet.caller().await.send("story.watches", &[("Cbs-Timeout-Ms", "300000")], &watch).await;
    body.until_printed("\nanswered after ").await;
    fleet.server.kill().await;
    body.until_printed("\nunavailable after ").await;
    fleet.server.restart().await;
    body.until_printed_is("calls answered again", |text| {
        text.matches("\nanswered after ").count() >= 2
    })
    .await;
    fleet.caller().await.until_answered("story.tells", &json!({})).await;

    let printed = body.kill().await.stdout;
    let failed = printed
        .lines()
        .find_map(|line| line.strip_prefix("unavailable after ")?.strip_suffix(" ms"));
    let ms: u64 = failed.unwrap().parse().unwrap();
    // A call may take 10 s; a call that waits for NATS would take all of them.
    assert!(ms < 8000, "{printed}");
    assert!(!printed.contains("\ntimeout"), "{printed}");
}

#[tokio::test]
async fn a_body_told_to_stop_while_nats_is_gone_ends_at_once() {
    let mut fleet = Fleet::start().await;
    let mut body = fleet.up(&Body::greeting("one")).await;
    fleet.server.kill().await;
    body.until_told("the connection to NATS is lost").await;
    let asked = Instant::now();
    body.terminate().await.with_status(0);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_call_that_runs_while_nats_is_gone_holds_up_the_end_for_the_drain_time_only() {
    let mut fleet = Fleet::start().await;
    let holds =
        stories("one").cell("story.holds", "timeout: 5m").with(&["--drain-timeout", "500ms"]);
    let mut body = fleet.up(&holds).await;
    fleet
        .caller()
        .await
        .send("story.holds", &[("Cbs-Timeout-Ms", "300000")], &json!({ "hold": true }))
        .await;
    body.until_printed("\nheld\n").await;
    fleet.server.kill().await;
    body.until_told("the connection to NATS is lost").await;
    let asked = Instant::now();
    let done = body.terminate().await.with_status(1);
    assert!(done.stderr.contains("was not finished within 500 ms"), "{}", done.stderr);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_body_killed_at_once_leaves_no_server_of_its_own_behind() {
    let world = World::new();
    let mut up = world.start(Body::greeting("one").command(&world));
    up.until_printed("body one, namespace ").await;
    let mut demo = world.cbs(&["demo"]);
    // The demo waits for a name, and no name comes.
    let mut demo = world.start({
        demo.stdin(std::process::Stdio::piped());
        demo
    });
    demo.until_told("NATS server").await;
    for body in [&mut up, &mut demo] {
        let servers = children(body.pid());
        assert_eq!(servers.len(), 1, "{servers:?}");
        body.kill().await;
        eventually("the end of its server", LIMIT, async || {
            !servers.iter().any(|server| lives(*server))
        })
        .await;
    }
}
