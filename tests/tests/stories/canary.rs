//! Canaries: a new revision gets a share of the calls. Its errors and times decide whether it is
//! promoted.

use std::{path::PathBuf, time::Instant};

use e2e::{Body, Fleet, LIMIT, Load, Process};
use futures::{StreamExt, future::join_all};
use serde_json::{Value, json};
use testkit::{eventually, within};

use crate::measured;

/// Time to wait for a first deploy: the first Python cell of a body may need a new environment.
const FIRST_TIME: &str = "120s";
/// Spec fields of a canary that gets a tenth of the calls and is judged soon.
const JUDGED: &str = ", replicas: all, rollout: { canary: { share: 10%, calls: 50, after: 2s } }";

/// Writes a cell that answers with its text, and fails one call of every `fails` (0: none).
fn says(fleet: &Fleet, text: &str, fails: u32, more: &str) -> PathBuf {
    let code = format!(
        "calls = 0\n\n\nasync def say(whom: dict | None) -> dict:\n    global calls\n    calls += 1\n    \
         if {fails} and calls % {fails} == 0:\n        raise ValueError('no luck')\n    \
         return {{'text': '{text}', 'body': '{text}'}}\n"
    );
    fleet.world.python("demo.say", &code, more)
}

async fn deploy(fleet: &Fleet, folder: &std::path::Path) -> e2e::Done {
    fleet.run(&["deploy", folder.to_str().unwrap(), "--timeout", FIRST_TIME]).await
}

/// Starts two bodies, which both run the first revision.
async fn two_with_one() -> (Fleet, Vec<Process>) {
    let fleet = Fleet::with_jetstream().await;
    let bodies =
        join_all(["a", "b"].map(async |id| fleet.up(&Body::without_files(id)).await)).await;
    deploy(&fleet, &says(&fleet, "one", 0, ", replicas: all")).await.with_status(0);
    (fleet, bodies)
}

/// Returns the report of `cbs bodies` on all bodies.
async fn bodies(fleet: &Fleet) -> Vec<Value> {
    let reported = fleet.run(&["bodies", "--format", "json"]).await.with_status(0).stdout;
    serde_json::from_str(&reported).unwrap()
}

async fn until_all_are(fleet: &Fleet, state: &str) {
    let what = format!("two bodies that say {state}");
    eventually(&what, LIMIT, async || {
        bodies(fleet).await.iter().filter(|body| body["states"] == state).count() == 2
    })
    .await;
}

/// States in which a canary ends.
const ENDS: [&str; 2] = ["canary-promoted", "canary-rolled-back"];

/// Subscribes to the events of a cell with one of these states: returns a future of the next one,
/// as state, reason and revision.
async fn hears<const N: usize>(
    fleet: &Fleet,
    states: [&'static str; N],
) -> impl Future<Output = (String, String, String)> + use<N> {
    let caller = fleet.caller().await;
    let mut received = caller.client().subscribe("cbs.default.event.cbs.cell.>").await.unwrap();
    caller.client().flush().await.unwrap();
    async move {
        let _caller = caller;
        loop {
            let event = within(LIMIT, "an event of a cell", received.next()).await.unwrap();
            let payload: Value = serde_json::from_slice(&event.payload).unwrap();
            let text = |field: &str| payload[field].as_str().unwrap_or_default().to_owned();
            if states.contains(&text("state").as_str()) {
                return (text("state"), text("reason"), text("revision"));
            }
        }
    }
}

#[tokio::test]
async fn a_canary_at_ten_percent_gets_ten_percent_of_ten_thousand_calls() {
    let (fleet, _bodies) = two_with_one().await;
    let canary = ", replicas: all, rollout: { canary: { share: 10%, calls: 100000, after: 1h } }";
    let done = deploy(&fleet, &says(&fleet, "two", 0, canary)).await.with_status(0);
    assert!(done.stderr.contains("10 % of its calls go to revision"), "{}", done.stderr);
    until_all_are(&fleet, "j").await;
    let load = Load::new(&fleet.caller().await, "demo.say", json!({}));
    load.run(8, 1250).await;
    assert_eq!(load.failed(), Vec::<String>::new());
    let one = load.answered_by("one");
    let two = load.answered_by("two");
    assert_eq!(one + two, 10_000);
    // Each of the two bodies counts for itself, and may be in the middle of ten.
    assert!((998..=1002).contains(&two), "{two} of ten thousand");
    // `cbs ls` does not show the canary.
    let ls = fleet.run(&["ls"]).await.with_status(0).stdout;
    assert_eq!(ls.matches("demo.say").count(), 2, "{ls}");
}

#[tokio::test]
async fn a_canary_that_fails_a_fifth_of_its_calls_is_rolled_back_by_itself() {
    let (fleet, _bodies) = two_with_one().await;
    let received = hears(&fleet, ENDS).await;
    let load = Load::new(&fleet.caller().await, "demo.say", json!({}));
    let story = async {
        let bad = says(&fleet, "two", 5, JUDGED);
        let done =
            fleet.run(&["deploy", bad.to_str().unwrap(), "--wait=false"]).await.with_status(0);
        assert!(done.stderr.contains("is written"), "{}", done.stderr);
        let began = eventually_judged(&fleet).await;
        let (state, reason, _) = received.await;
        measured(&format!("rolled back {:?} after it began", began.elapsed()));
        assert_eq!(state, "canary-rolled-back", "{reason}");
        assert!(reason.contains("calls failed, and 0 of"), "{reason}");
        until_all_are(&fleet, "b").await;
        bad
    };
    let bad = tokio::select! {
        bad = story => bad,
        () = load.run(4, usize::MAX) => unreachable!("the load never ends"),
    };
    let failed = load.failed();
    assert!(
        failed.iter().all(|line| line.contains("cell-failed") || line.contains("failed")),
        "{failed:?}"
    );
    // `cbs bodies` reports the verdict, and the same deploy again changes nothing.
    let reported = bodies(&fleet).await;
    assert!(
        reported.iter().all(|body| body["troubles"].to_string().contains("was rolled back")),
        "{reported:?}"
    );
    let history = fleet.run(&["history"]).await.with_status(0);
    assert!(history.stderr.contains("rolled back"), "{history:?}");
    let again = deploy(&fleet, &bad).await.with_status(1);
    assert!(
        again.stderr.contains("was rolled back, its old revision serves on"),
        "{}",
        again.stderr
    );
    let fresh = Load::new(&fleet.caller().await, "demo.say", json!({}));
    fresh.run(2, 100).await;
    assert_eq!((fresh.failed(), fresh.answered_by("one")), (Vec::new(), 200));
    // A changed version is a new canary beside the revision that serves.
    deploy(&fleet, &says(&fleet, "three", 0, JUDGED)).await.with_status(0);
    until_all_are(&fleet, "j").await;
    // A deploy without a canary replaces the revision at once.
    deploy(&fleet, &says(&fleet, "two", 0, ", replicas: all")).await.with_status(0);
    until_all_are(&fleet, "r").await;
}

/// Waits until a body judges a canary; returns the time when this was observed. The verdict may
/// follow soon.
async fn eventually_judged(fleet: &Fleet) -> Instant {
    let judged = |body: &Value| matches!(body["states"].as_str(), Some("j" | "b"));
    eventually("a canary that is judged", LIMIT, async || bodies(fleet).await.iter().any(judged))
        .await;
    Instant::now()
}

#[tokio::test]
async fn a_good_canary_is_promoted_without_a_failed_call() {
    let (fleet, _bodies) = two_with_one().await;
    let received = hears(&fleet, ENDS).await;
    let load = Load::new(&fleet.caller().await, "demo.say", json!({}));
    let story = async {
        let good = says(&fleet, "two", 0, JUDGED);
        deploy(&fleet, &good).await.with_status(0);
        let (state, reason, _) = received.await;
        assert_eq!(state, "canary-promoted", "{reason}");
        until_all_are(&fleet, "r").await;
        // The old revision answers for half a second more, beside the new one.
        eventually("two alone", LIMIT, async || {
            let fresh = Load::new(&fleet.caller().await, "demo.say", json!({}));
            fresh.run(1, 40).await;
            fresh.answered_by("two") == 40
        })
        .await;
        good
    };
    let good = tokio::select! {
        good = story => good,
        () = load.run(4, usize::MAX) => unreachable!("the load never ends"),
    };
    assert_eq!(load.failed(), Vec::<String>::new());
    let history = fleet.run(&["history"]).await.with_status(0);
    assert!(history.stderr.contains("promoted"), "{history:?}");
    // The same version again already runs.
    let again = deploy(&fleet, &good).await.with_status(0);
    assert!(again.stdout.contains("nothing to change"), "{again:?}");
    let ls = fleet.run(&["ls"]).await.with_status(0).stdout;
    assert_eq!(ls.matches("demo.say").count(), 2, "{ls}");
}

#[tokio::test]
async fn what_is_replaced_and_what_does_not_start_is_told() {
    let (fleet, _bodies) = two_with_one().await;
    let replaced = hears(&fleet, ["replaced"]).await;
    deploy(&fleet, &says(&fleet, "two", 0, ", replicas: all")).await.with_status(0);
    let (_, reason, two) = replaced.await;
    assert_eq!(reason, "");
    let ls = fleet.run(&["ls", "--format", "json"]).await.with_status(0).stdout;
    assert!(!two.is_empty() && ls.contains(&two), "{two} serves now: {ls}");
    let failed = hears(&fleet, ["failed"]).await;
    let code = "raise RuntimeError('no luck')\n\n\nasync def say(whom: dict | None) -> dict:\n    return {}\n";
    let broken = fleet.world.python("demo.say", code, ", replicas: all");
    fleet.run(&["deploy", broken.to_str().unwrap(), "--wait=false"]).await.with_status(0);
    let (_, reason, three) = failed.await;
    assert!(reason.contains("no luck") && three != two, "{three}: {reason}");
    // A canary that another canary replaces never served: no event reports it as replaced.
    let replaced = hears(&fleet, ["replaced", "canary-promoted"]).await;
    let long = ", replicas: all, rollout: { canary: { share: 10%, calls: 100000, after: 1h } }";
    deploy(&fleet, &says(&fleet, "two", 0, ", replicas: all")).await.with_status(0);
    for text in ["three", "four"] {
        deploy(&fleet, &says(&fleet, text, 0, long)).await.with_status(0);
        until_all_are(&fleet, "j").await;
    }
    let good = says(&fleet, "five", 0, JUDGED);
    let load = Load::new(&fleet.caller().await, "demo.say", json!({}));
    let story = async {
        deploy(&fleet, &good).await.with_status(0);
        replaced.await
    };
    let (state, reason, _) = tokio::select! {
        reported = story => reported,
        () = load.run(4, usize::MAX) => unreachable!("the load never ends"),
    };
    assert_eq!(state, "canary-promoted", "{reason}");
    assert_eq!(load.failed(), Vec::<String>::new());
}
