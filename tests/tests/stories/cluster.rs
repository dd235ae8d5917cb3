//! A cluster of servers loses the one that leads what is deployed.

use std::time::{Duration, Instant};

use e2e::{Body, Caller, Process, Standings, World};
use futures::future::join_all;
use serde_json::json;
use testkit::{NatsCluster, eventually};

use crate::told;

/// A new leader takes 4 to 9 s, and requests to JetStream wait for it 15 s.
const LIMIT: Duration = Duration::from_secs(90);
const DESIRED: &str = "KV_cbs_default_desired";

fn deploy(world: &World, url: &str) -> Process {
    world.start(world.cbs(&["deploy", "specs", "demo.say", "--timeout", "80s", "--nats", url]))
}

#[tokio::test]
async fn the_leader_of_desired_state_dies_in_the_middle_of_a_deploy_and_all_converge() {
    let (mut cluster, world) = (NatsCluster::start().await, World::new());
    let url = cluster.url();
    let _bodies = join_all(["one", "two", "three"].map(async |id| {
        let mut command = Body::bare(id).command(&world);
        command.args(["--nats", &url]);
        let mut body = world.start(command);
        body.until_printed(&format!("body {id}, namespace ")).await;
        body
    }))
    .await;
    world.says("before", "");
    world.rust("specs", ["logic.greet"], "");
    let _ = deploy(&world, &url).ended_within(LIMIT).await.with_status(0);
    told(&format!("copies of {DESIRED} that cbs made: {}", cluster.copies(DESIRED).await));
    for stream in [DESIRED, "KV_cbs_default_presence", "OBJ_cbs_default_bundles"] {
        cluster.replicate(stream).await;
    }
    world.says("after", "");
    // So much that writing it takes a while.
    for index in 0..200 {
        let flow = format!(
            "apiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: {{ name: again{index} }}\n\
             spec: {{ steps: [ {{ id: one, call: demo.say, with: '${{ .input }}' }} ], output: '${{ .steps.one }}' }}\n"
        );
        world.write(&format!("specs/flows/{index}.yaml"), &flow);
    }
    let leader = cluster.leader(DESIRED).await;
    let mut deploying = deploy(&world, &url);
    deploying.until_told("again199").await;
    cluster.node(leader).kill().await;
    let killed = Instant::now();
    let done = deploying.ended_within(LIMIT).await;
    told(&format!("cbs deploy ended {:?} after the leader's end: {:?}", killed.elapsed(), done.stderr.lines().last()));
    if done.status != 0 {
        // It says what to do; that is done, and no more.
        assert!(done.stderr.contains("deploy again"), "{}", done.stderr);
        let _ = deploy(&world, &url).ended_within(LIMIT).await.with_status(0);
    }
    // 200 flows in three bodies, two cells.
    let all = 3 * 200 + 2;
    eventually("all three bodies to follow", LIMIT, async || Standings::read(&world, &url).await.are(3, all)).await;
    let caller = Caller::of(cluster.client().clone());
    assert_eq!(caller.call("demo.say", &json!({})).await.text("text"), "after");
    told(&format!("all had converged after {:?}", killed.elapsed()));
    cluster.node(leader).restart().await;
    cluster.until_led(DESIRED).await;
    eventually("the same with the server back", LIMIT, async || Standings::read(&world, &url).await.are(3, all)).await;
}
