//! Thousands of specs at once; some hundreds of them in the gate.

use std::time::{Duration, Instant};

use e2e::{Fleet, Process};
use serde_json::json;
use testkit::eventually;

use crate::{measured, stories};

const LIMIT: Duration = Duration::from_secs(170);
const MEBIBYTE: u64 = 1024 * 1024;

/// Number of specs: ten thousand in full.
fn count() -> usize {
    if e2e::in_full() { 10_000 } else { 400 }
}

#[tokio::test]
async fn masses_of_specs_are_deployed_at_once_with_progress_and_bounded_memory() {
    let (fleet, count) = (Fleet::with_jetstream().await, count());
    let mut command = fleet.command(&stories("one"));
    command.env("STORY_MANY", count.to_string());
    let mut body = fleet.world.start(command);
    body.until_printed("body one, namespace ").await;
    let idle = body.peak_memory();
    let folder = fleet.world.many("specs", count, "");
    let began = Instant::now();
    let mut deploying = fleet.spawn(&["deploy", folder.to_str().unwrap(), "--timeout", "150s"]);
    // Its memory can be read while it runs.
    let mut peak = 0;
    eventually("the end of the deploy", LIMIT, async || {
        let now = deploying.peak_memory();
        peak = peak.max(now);
        peak > 0 && now == 0
    })
    .await;
    let done = deploying.ended().await.with_status(0);
    let held = body.peak_memory() - idle;
    let lines =
        done.stderr.lines().filter(|line| line.contains("bodies have the generation")).count();
    let took = began.elapsed();
    measured(&format!(
        "{count} specs in {took:?}: {lines} lines of progress, deploy {peak} B, body {held} B more"
    ));
    assert!(lines >= 3, "{lines} lines tell of progress");
    // Some kilobytes for each spec, on both sides, in a program that is not optimized.
    let bound = 64 * MEBIBYTE + count as u64 * 24 * 1024;
    assert!(peak < bound && held < bound, "deploy {peak}, body {held}, bound {bound}");
    let standings = fleet.standings().await;
    assert!(standings.are(1, count), "{} of {count} are ready", standings.ready());
    let caller = fleet.caller().await;
    for name in ["many.c0".to_owned(), format!("many.c{}", count - 1)] {
        assert_eq!(caller.call(&name, &json!({})).await.text("body"), "one");
    }
}

#[tokio::test]
async fn one_broken_spec_among_a_thousand_and_nothing_is_touched() {
    let fleet = Fleet::with_jetstream().await;
    let mut body: Process = fleet.up(&stories("one")).await;
    let folder = fleet.world.many("specs", 999, "");
    fleet.world.rust("specs", ["many.broken"], ", timeout: soon");
    let done = fleet.deploy(&folder).await.with_status(1);
    assert!(
        done.stderr.contains("many.broken.yaml") && done.stderr.contains("spec-bad-duration"),
        "{}",
        done.stderr
    );
    assert!(done.stdout.is_empty(), "{}", done.stdout);
    let history = fleet.run(&["history"]).await.with_status(1);
    assert!(history.stderr.contains("nothing was ever deployed"), "{}", history.stderr);
    let log = body.terminate().await.with_status(0).stderr;
    assert!(!log.contains(r#""message":"starts""#), "{log}");
}
