//! The buckets of a fleet are deleted while it runs.

use std::path::Path;

use e2e::{Body, Fleet, LIMIT, Load};
use serde_json::json;
use testkit::eventually;

async fn deploy(fleet: &Fleet, folder: &Path, more: &[&str]) -> e2e::Done {
    fleet.run(&[&["deploy", folder.to_str().unwrap(), "--timeout", "120s"], more].concat()).await
}

#[tokio::test]
async fn a_fleet_whose_namespace_is_deleted_serves_on_and_follows_what_is_deployed_anew() {
    let fleet = Fleet::with_jetstream().await;
    let _bodies =
        [fleet.up(&Body::without_files("one")).await, fleet.up(&Body::without_files("two")).await];
    deploy(&fleet, &fleet.world.says("before", ", replicas: all"), &[]).await.with_status(0);
    let caller = fleet.caller().await;
    let context = async_nats::jetstream::new(caller.client().clone());
    for bucket in ["KV_cbs_default_desired", "KV_cbs_default_presence", "OBJ_cbs_default_bundles"] {
        context.delete_stream(bucket).await.unwrap();
    }
    let load = Load::new(&caller, "demo.say", json!({}));
    load.run(4, 250).await;
    assert_eq!(load.failed(), Vec::<String>::new());
    // The new bucket counts from one again, and its head from the first.
    let done = deploy(&fleet, &fleet.world.says("after", ", replicas: all"), &["--wait=false"])
        .await
        .with_status(0);
    assert!(done.stdout.contains("generation 1"), "{done:?}");
    let text = async || caller.call("demo.say", &json!({})).await.text("text");
    eventually("the new text", LIMIT, async || text().await == "after" && text().await == "after")
        .await;
    eventually("two bodies at the new head", LIMIT, async || {
        let reported = fleet.run(&["bodies", "--format", "json"]).await.stdout;
        let bodies: Vec<serde_json::Value> = serde_json::from_str(&reported).unwrap_or_default();
        bodies.len() == 2
            && bodies.iter().all(|body| body["states"] == "r" && body["applied"]["number"] == 1)
    })
    .await;
    // The body continues to follow.
    deploy(&fleet, &fleet.world.says("later", ", replicas: all"), &[]).await.with_status(0);
}
