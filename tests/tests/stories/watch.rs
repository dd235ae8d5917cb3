//! What is saved serves a moment later.

use e2e::{Body, Fleet, LIMIT, Load};
use serde_json::json;
use testkit::eventually;

const SPEC: &str = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.tells }\n\
    spec: { runtime: python, source: 'tells.py:tell' }\n";

fn code(version: u32) -> String {
    format!("async def tell(given: dict) -> dict:\n    return {{'body': 'one', 'version': {version}}}\n")
}

#[tokio::test]
async fn twenty_saves_of_a_python_cell_under_load_fail_no_call() {
    let fleet = Fleet::start().await;
    let body =
        Body::bare("one").file("cells/demo.tells.yaml", SPEC).file("cells/tells.py", &code(0)).with(&["--watch"]);
    let mut body = fleet.up(&body).await;
    let caller = fleet.caller().await;
    caller.until_answered("demo.tells", &json!({})).await;
    let load = Load::new(&caller, "demo.tells", json!({}));
    let saves = async {
        for version in 1..=20 {
            fleet.world.write("one/cells/tells.py", &code(version));
            let serves = async || caller.call("demo.tells", &json!({})).await.json()["version"] == json!(version);
            eventually("the saved version to serve", LIMIT, serves).await;
        }
    };
    tokio::select! {
        () = saves => {}
        () = load.run(4, usize::MAX) => {}
    }
    assert_eq!(load.failed(), Vec::<String>::new());
    assert!(load.answered() > 100, "{} calls were answered meanwhile", load.answered());
    body.until_told("replaced cell demo.tells in ").await;
}

#[tokio::test]
async fn a_broken_save_is_told_and_the_old_version_goes_on() {
    let fleet = Fleet::start().await;
    let body =
        Body::bare("one").file("cells/demo.tells.yaml", SPEC).file("cells/tells.py", &code(1)).with(&["--watch"]);
    let mut body = fleet.up(&body).await;
    let caller = fleet.caller().await;
    caller.until_answered("demo.tells", &json!({})).await;
    fleet.world.write("one/cells/tells.py", "async def tell(given: dict -> dict:\n");
    body.until_told("kept the old cell demo.tells: ").await;
    fleet.world.write("one/cells/demo.tells.yaml", &SPEC.replace("source", "sauce"));
    body.until_told("what runs goes on").await;
    assert_eq!(caller.call("demo.tells", &json!({})).await.json()["version"], json!(1));
    fleet.world.write("one/cells/tells.py", &code(2));
    fleet.world.write("one/cells/demo.tells.yaml", SPEC);
    let mended = async || caller.call("demo.tells", &json!({})).await.json()["version"] == json!(2);
    eventually("the mended version to serve", LIMIT, mended).await;
}

#[tokio::test]
async fn a_link_that_is_swapped_as_in_a_mounted_config_map_is_seen() {
    let fleet = Fleet::start().await;
    let spec = |timeout: &str| {
        format!(
            "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: logic.greet }}\n\
             spec: {{ runtime: rust, timeout: {timeout} }}\n"
        )
    };
    fleet.world.write("mount/..one/greet.yaml", &spec("1s"));
    fleet.world.write("mount/..two/greet.yaml", &spec("2s"));
    let mount = fleet.world.here().join("mount");
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, mount.join(at)).unwrap();
    link("..one", "..data");
    link("..data/greet.yaml", "greet.yaml");
    let mut body = fleet.up(&Body::of_specs("one", &mount).with(&["--watch"])).await;
    link("..two", "..data_new");
    std::fs::rename(mount.join("..data_new"), mount.join("..data")).unwrap();
    body.until_told("replaced cell logic.greet in ").await;
}
