//! A cluster of servers loses the leader of the deploy streams; in the gate the leader only steps
//! down.

use std::time::{Duration, Instant};

use e2e::{Body, Caller, Process, Standings, World};
use futures::future::join_all;
use serde_json::json;
use testkit::{NatsCluster, eventually};

use crate::measured;

/// Limit of a wait: a new leader takes 4 to 9 s, and requests to JetStream wait 15 s for it.
const LIMIT: Duration = Duration::from_secs(90);
const DESIRED: &str = "KV_cbs_default_desired";

/// Number of flows: so many that it takes a while to write them.
fn flows() -> usize {
    if e2e::in_full() { 200 } else { 60 }
}

fn deploy(world: &World, url: &str) -> Process {
    world.start(world.cbs(&["deploy", "specs", "demo.say", "--timeout", "80s", "--nats", url]))
}

#[tokio::test]
async fn the_leader_of_desired_state_goes_in_the_middle_of_a_deploy_and_all_converge() {
    let mut cluster = NatsCluster::start().await;
    let world = World::new();
    let url = cluster.url();
    let _bodies = join_all(["one", "two", "three"].map(async |id| {
        let mut command = Body::without_files(id).command(&world);
        command.args(["--nats", &url]);
        let mut body = world.start(command);
        body.until_printed(&format!("body {id}, namespace ")).await;
        body
    }))
    .await;
    world.says("before", "");
    world.rust("specs", ["logic.greet"], "");
    deploy(&world, &url).ended_within(LIMIT).await.with_status(0);
    measured(&format!("copies of {DESIRED} that cbs made: {}", cluster.copies(DESIRED).await));
    for stream in [DESIRED, "KV_cbs_default_presence", "OBJ_cbs_default_bundles"] {
        cluster.replicate(stream).await;
    }
    world.says("after", "");
    for index in 0..flows() {
        let flow = format!(
            "apiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: {{ name: again{index} }}\n\
             spec: {{ steps: [ {{ id: one, call: demo.say, with: '${{ .input }}' }} ], output: '${{ .steps.one }}' }}\n"
        );
        world.write(&format!("specs/flows/{index}.yaml"), &flow);
    }
    let leader = cluster.leader(DESIRED).await;
    let mut deploying = deploy(&world, &url);
    deploying.until_told(&format!("again{}", flows() - 1)).await;
    if e2e::in_full() {
        cluster.node(leader).kill().await;
    } else {
        let ask = format!("$JS.API.STREAM.LEADER.STEPDOWN.{DESIRED}");
        let answer = cluster.client().request(ask, "".into()).await.unwrap();
        assert!(answer.payload.windows(14).any(|part| part == b"\"success\":true"), "{answer:?}");
    }
    let gone = Instant::now();
    let done = deploying.ended_within(LIMIT).await;
    measured(&format!(
        "cbs deploy ended {:?} after the leader's end: {:?}",
        gone.elapsed(),
        done.stderr.lines().last()
    ));
    done.with_status(0);
    // Flows in three bodies, and two cells.
    let all = 3 * flows() + 2;
    eventually("all three bodies to follow", LIMIT, async || {
        Standings::read(&world, &url).await.are(3, all)
    })
    .await;
    let caller = Caller::of(cluster.client().clone());
    assert_eq!(caller.call("demo.say", &json!({})).await.text("text"), "after");
    measured(&format!("all had converged after {:?}", gone.elapsed()));
    if !e2e::in_full() {
        return;
    }
    cluster.node(leader).restart().await;
    cluster.until_led(DESIRED).await;
    eventually("the same with the server back", LIMIT, async || {
        Standings::read(&world, &url).await.are(3, all)
    })
    .await;
}
