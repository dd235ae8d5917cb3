//! Bodies crash, or hang, at the worst moment.

use std::time::{Duration, Instant};

use async_nats::{ConnectOptions, HeaderMap};
use e2e::{Caller, Fleet, LIMIT, Load, Process};
use futures::future::join_all;
use nix::sys::signal::Signal;
use serde_json::json;
use testkit::eventually;

use crate::{measured, stories};

const IDS: [&str; 3] = ["one", "two", "three"];
/// Native cells of the stories' body.
const CELLS: [&str; 6] =
    ["story.tells", "story.slow", "story.holds", "story.frees", "story.big", "story.calls"];
/// Callers at once.
const CALLERS: usize = 4;
/// Start of the log line of a body that gives an instance up.
const STOPS: &str = r#""message":"stops: "#;
/// Duration of a lease.
const LEASE: Duration = Duration::from_secs(3);

async fn bodies(fleet: &Fleet) -> Vec<Process> {
    join_all(IDS.map(async |id| fleet.up(&stories(id)).await)).await
}

/// Makes a call that never ends, in this body alone.
async fn hold(caller: &Caller, body: &mut Process, id: &str) {
    let subject = format!("cbs.default.body.{id}.cell.story.holds");
    let headers =
        HeaderMap::from_iter([("Cbs-Timeout-Ms".parse().unwrap(), "60000".parse().unwrap())]);
    let client = caller.client();
    client.publish_with_headers(subject, headers, r#"{"hold":true}"#.into()).await.unwrap();
    body.until_printed("\nheld\n").await;
}

#[tokio::test]
async fn a_body_dies_between_its_new_revision_and_the_end_of_its_old_one() {
    let fleet = Fleet::with_jetstream().await;
    let mut bodies = bodies(&fleet).await;
    let folder = fleet.world.rust("specs", ["story.holds"], ", replicas: 2, timeout: 1m");
    fleet.deploy(&folder).await.with_status(0);
    let before = fleet.standings().await;
    let at = IDS.iter().position(|id| before.ready_in(id) == 1).unwrap();
    // Nobody answers the calls that the dead body holds: its callers do not wait long.
    let options = ConnectOptions::new().request_timeout(Some(Duration::from_secs(2)));
    let caller = Caller::connect(fleet.server.url(), options).await;
    let load = Load::new(&caller, "story.holds", json!({}));
    let death = async {
        // The old revision cannot end while this call runs in it.
        let victim = &mut bodies[at];
        hold(&caller, victim, IDS[at]).await;
        fleet.world.rust("specs", ["story.holds"], ", replicas: 2, timeout: 2m");
        let mut deploying = fleet.spawn(&["deploy", folder.to_str().unwrap()]);
        let ready = |log: &str| log.matches(r#""message":"ready""#).count() == 2;
        victim.until_told_is("the new revision is ready", ready).await;
        victim.kill().await;
        let killed = Instant::now();
        deploying.ended().await.with_status(0);
        eventually("two bodies that have it", LIMIT, async || fleet.standings().await.are(2, 2))
            .await;
        measured(&format!("the others had converged {:?} after the death", killed.elapsed()));
        let now = load.answered();
        let others = IDS.iter().filter(|id| **id != IDS[at]).collect::<Vec<_>>();
        eventually("calls go on", LIMIT, async || load.answered() > now + 100).await;
        assert!(others.iter().all(|id| load.answered_by(id) > 0));
    };
    tokio::select! {
        () = death => {}
        () = load.run(CALLERS, usize::MAX) => {}
    }
    let failed = load.failed();
    assert!(
        failed.len() <= CALLERS && failed.iter().all(|why| why.contains("timed out")),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_body_that_stands_still_for_longer_than_two_leases_takes_nothing_away_when_it_goes_on() {
    let fleet = Fleet::with_jetstream().await;
    let mut bodies = bodies(&fleet).await;
    fleet.deploy(&fleet.world.rust("specs", CELLS, "")).await.with_status(0);
    let before = fleet.standings().await;
    let at = (0..IDS.len()).max_by_key(|at| before.ready_in(IDS[*at])).unwrap();
    let had = before.ready_in(IDS[at]);
    assert!(before.are(3, CELLS.len()) && had > 0, "{before:?}");
    bodies[at].signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    eventually("others to take over", LIMIT, async || fleet.standings().await.are(2, CELLS.len()))
        .await;
    // sleep: the body hangs for this time.
    tokio::time::sleep((LEASE * 2 + Duration::from_secs(1)).saturating_sub(stopped.elapsed()))
        .await;
    bodies[at].signal(Signal::SIGCONT);
    let went_on = Instant::now();
    // At each moment a body serves each cell, until the former spread is there.
    eventually("the former spread", LIMIT, async || {
        let now = fleet.standings().await;
        assert!(now.served() == CELLS.len(), "{now:?}");
        now.are(3, CELLS.len()) && now.spread() == before.spread()
    })
    .await;
    measured(&format!("the former spread was back {:?} after the body went on", went_on.elapsed()));
    let caller = fleet.caller().await;
    assert_eq!(caller.call("story.tells", &json!({})).await.status, 200);
    // The other bodies never gave up their instances, and the body that hung stopped nothing.
    let log = bodies[at].kill().await.stderr;
    assert!(!log.contains(STOPS), "{log}");
}
