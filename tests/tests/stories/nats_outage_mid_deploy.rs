//! NATS is away in the middle of a deploy, or loses the deployed data.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use e2e::{Fleet, LIMIT, Process, World};
use futures::future::{join_all, select_all};
use serde_json::json;
use testkit::eventually;

use crate::{measured, stories};

/// Duration of a lease.
const LEASE: Duration = Duration::from_secs(3);

/// Duration of the outage: a minute in full; else longer than two leases.
fn outage() -> Duration {
    if e2e::in_full() { Duration::from_secs(60) } else { LEASE * 2 + Duration::from_secs(2) }
}

/// Number of specs: so many that it takes a while to write them.
fn many() -> usize {
    if e2e::in_full() { 400 } else { 200 }
}

/// Starts two bodies with the stories' cells; `story.watches` calls the Python cell in its own body
/// all the time.
async fn watching(fleet: &Fleet) -> Vec<Process> {
    let mut bodies = join_all(["one", "two"].map(async |id| {
        let mut command = fleet.command(&stories(id));
        command.env("STORY_MANY", many().to_string());
        let mut body = fleet.world.start(command);
        body.until_printed(&format!("body {id}, namespace ")).await;
        body
    }))
    .await;
    fleet.deploy(&says(&fleet.world, "before")).await.with_status(0);
    let watches = fleet.world.rust("watches", ["story.watches"], ", timeout: 5m");
    fleet.deploy(&watches).await.with_status(0);
    let caller = fleet.caller().await;
    let watch = json!({ "cell": "demo.say" });
    caller.send("story.watches", &[("Cbs-Timeout-Ms", "300000")], &watch).await;
    // One of the two has the watching cell.
    select_all(bodies.iter_mut().map(|body| Box::pin(body.until_printed("\nanswered after "))))
        .await;
    bodies
}

/// Writes a cell that leaves a mark of each call, in every body.
fn says(world: &World, text: &str) -> std::path::PathBuf {
    let marks = world.here().join("marks");
    let code = format!(
        "async def say(whom: dict | None) -> dict:\n    with open('{}', 'a') as marks:\n        marks.write('.')\n    \
         return {{'text': '{text}'}}\n",
        marks.display()
    );
    world.python("demo.say", &code, ", replicas: all")
}

fn marks(world: &World) -> u64 {
    std::fs::metadata(world.here().join("marks")).map_or(0, |marks| marks.len())
}

/// Kills the bodies. Returns how often the watching cell has printed that it was answered, and that
/// it was not.
async fn watched(bodies: &mut [Process]) -> (usize, usize) {
    let mut printed = String::new();
    for body in bodies {
        printed += &body.kill().await.stdout;
    }
    let times = |words: &str| printed.matches(words).count();
    (
        times("\nanswered after "),
        times("\nunavailable after ") + times("\ntimeout after ") + times("\ninternal after "),
    )
}

async fn until_all_say(fleet: &Fleet, text: &str, ready: usize) {
    let caller = fleet.caller().await;
    let said = async || caller.call("demo.say", &json!({})).await.text("text");
    eventually(&format!("the text {text}"), LIMIT, async || said().await == text).await;
    eventually("both bodies to follow", LIMIT, async || fleet.standings().await.are(2, ready))
        .await;
    for _ in 0..20 {
        assert_eq!(said().await, text);
    }
}

#[tokio::test]
async fn nats_is_away_for_long_in_the_middle_of_a_deploy_and_the_fleet_follows_without_a_hand() {
    let mut fleet = Fleet::with_jetstream().await;
    let mut bodies = watching(&fleet).await;
    let folder = says(&fleet.world, "after");
    fleet.world.many("demo.say", many(), "");
    let mut deploying = fleet.spawn(&["deploy", folder.to_str().unwrap(), "--timeout", "150s"]);
    deploying.until_told(&format!("many.c{}", many() - 1)).await;
    fleet.server.kill().await;
    let gone = Instant::now();
    for body in &mut bodies {
        body.until_told("nothing is changed").await;
    }
    // sleep: the outage takes this time.
    tokio::time::sleep((outage() - LEASE).saturating_sub(gone.elapsed())).await;
    let before = marks(&fleet.world);
    // sleep: calls at the end of the outage are counted.
    tokio::time::sleep(outage().saturating_sub(gone.elapsed())).await;
    assert!(
        marks(&fleet.world) > before + 20,
        "{} calls in the outage",
        marks(&fleet.world) - before
    );
    fleet.server.restart().await;
    let back = Instant::now();
    let done = deploying.ended_within(Duration::from_secs(160)).await;
    measured(&format!(
        "cbs deploy ended {:?} after NATS came back, with {}",
        back.elapsed(),
        last_words(&done.stderr)
    ));
    // The deploy has waited, whether its head was written before the outage or after.
    done.with_status(0);
    until_all_say(&fleet, "after", 2 * 2 + many() - 1).await;
    measured(&format!("all said the new text {:?} after NATS came back", back.elapsed()));
    assert_eq!(watched(&mut bodies).await, (1, 0));
}

fn last_words(reported: &str) -> String {
    let lines: Vec<&str> = reported.lines().collect();
    lines[lines.len().saturating_sub(4)..].join(" / ")
}

#[tokio::test]
async fn buckets_that_are_deleted_under_bodies_stop_nothing_and_the_next_deploy_is_followed() {
    let fleet = Fleet::with_jetstream().await;
    let mut bodies = watching(&fleet).await;
    let client = fleet.caller().await.client().clone();
    let jetstream = jetstream::new(client);
    for stream in ["KV_cbs_default_desired", "KV_cbs_default_presence", "OBJ_cbs_default_bundles"] {
        jetstream.delete_stream(stream).await.unwrap_or_else(|error| panic!("{stream}: {error}"));
    }
    let gone = Instant::now();
    let before = marks(&fleet.world);
    // sleep: a fault may show only after two leases.
    tokio::time::sleep(LEASE * 2 + Duration::from_secs(1)).await;
    assert!(marks(&fleet.world) > before + 20, "{} calls since", marks(&fleet.world) - before);
    assert_eq!(fleet.caller().await.call("demo.say", &json!({})).await.text("text"), "before");
    let again = says(&fleet.world, "after");
    fleet.world.rust("demo.say", ["story.watches"], ", timeout: 5m");
    fleet.deploy(&again).await.with_status(0);
    until_all_say(&fleet, "after", 3).await;
    measured(&format!("followed {:?} after the buckets were deleted", gone.elapsed()));
    assert_eq!(watched(&mut bodies).await, (1, 0));
}
