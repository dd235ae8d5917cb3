//! A body loses messages of its server, on a connection that stays.

use std::time::{Duration, Instant};

use e2e::{Body, Fleet, LIMIT, Passes, Process, Proxy};
use serde_json::json;
use testkit::eventually;

use crate::measured;

/// Starts a body behind a proxy, with the first text deployed.
async fn behind(fleet: &Fleet, proxy: &Proxy) -> Process {
    let mut command = Body::without_files("one").command(&fleet.world);
    command.args(["--nats", &proxy.url()]);
    let mut body = fleet.world.start(command);
    body.until_printed("body one, namespace ").await;
    fleet.deploy(&fleet.world.says("before", "")).await.with_status(0);
    body
}

async fn until_said(fleet: &Fleet, text: &str) {
    let caller = fleet.caller().await;
    eventually(&format!("the text {text}"), LIMIT, async || {
        caller
            .try_call("demo.say", &[], &json!({}))
            .await
            .is_ok_and(|answer| answer.text("text") == text)
    })
    .await;
}

#[tokio::test]
async fn a_watch_that_hears_of_no_change_is_found_out() {
    let fleet = Fleet::with_jetstream().await;
    let proxy = Proxy::to(fleet.server.port()).await;
    let _body = behind(&fleet, &proxy).await;
    // Requests are answered, but watches receive nothing, now or later.
    proxy.pass(Passes::AllBut("$KV."));
    let folder = fleet.world.says("after", "");
    let began = Instant::now();
    fleet.deploy_with(&folder, &["--wait=false"]).await.with_status(0);
    eventually("a word that is lost", LIMIT, async || proxy.lost() > 0).await;
    // The messages come again after longer than a lease.
    // sleep: the body receives nothing for this time.
    tokio::time::sleep(Duration::from_secs(5)).await;
    proxy.pass(Passes::Everything);
    until_said(&fleet, "after").await;
    measured(&format!("it followed {:?} after the deploy", began.elapsed()));
    eventually("the body to say so", LIMIT, async || fleet.standings().await.are(1, 1)).await;
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_and_what_was_missed_is_made_up_for() {
    let fleet = Fleet::with_jetstream().await;
    let proxy = Proxy::to(fleet.server.port()).await;
    let mut body = behind(&fleet, &proxy).await;
    proxy.pass(Passes::Nothing);
    let folder = fleet.world.says("after", "");
    let began = Instant::now();
    fleet.deploy_with(&folder, &["--wait=false"]).await.with_status(0);
    // No connection was closed: the body only observes that no answer comes.
    body.until_told("nothing is changed").await;
    proxy.pass(Passes::Everything);
    until_said(&fleet, "after").await;
    measured(&format!("it followed {:?} after the deploy", began.elapsed()));
    eventually("the body to say so", LIMIT, async || fleet.standings().await.are(1, 1)).await;
}
