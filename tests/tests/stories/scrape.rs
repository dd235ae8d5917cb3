//! Metrics of a running body against the chapter on operating, the alerts and the dashboard.

use std::collections::BTreeSet;

use e2e::{Body, Fleet, Process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Metrics that a body shows only after a retry.
const SELDOM: [&str; 2] = ["cbs_retries_denied_total", "cbs_retries_total"];
const HTTP: [&str; 4] = ["--http", "127.0.0.1:0", "--format", "json"];
/// Code of a cell without an SDK; here it also reports the bytes that it takes, as SDKs do.
const SHOUT: &str = include_str!("../../sidecars/shout.py");
const TELLS: &str = "async def tell(given: dict) -> dict:\n    return given\n";

/// Returns the first column of the table of metrics.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../../../deploy/OPERATING.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with("cbs_") || name.starts_with("process_"))
        .collect()
}

/// Returns the names on a body's page, in Prometheus' own form.
async fn exported(body: &mut Process) -> BTreeSet<String> {
    let said: Value = serde_json::from_str(&body.until_printed("\n}\n").await).unwrap();
    let address = said["http"]
        .as_str()
        .unwrap()
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let asked = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, _)| name.to_owned()).collect()
}

#[tokio::test]
async fn bodies_tell_the_metrics_that_are_documented_and_no_others() {
    let fleet = Fleet::with_jetstream().await;
    let spec = |name: &str, source: &str| {
        format!(
            "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {name} }}\nspec: {{ {source} }}\n"
        )
    };
    let pinned = Body::greeting("pinned")
        .file(
            "cells/demo.tells.yaml",
            &spec("demo.tells", "runtime: python, source: 'tells.py:tell'"),
        )
        .file(
            "cells/demo.shout.yaml",
            &spec("demo.shout", "runtime: exec, command: [python3, shout.py]"),
        )
        .file("cells/tells.py", TELLS)
        .file(
            "cells/shout.py",
            &SHOUT.replace("b\"demo.shout\")", "b\"demo.shout\"), field(6, 1 << 20)"),
        )
        .with(&HTTP);
    let mut pinned = fleet.world.start(fleet.command(&pinned));
    let mut joined = fleet.world.start(fleet.command(&Body::without_files("joined").with(&HTTP)));
    pinned.until_printed("\"http\"").await;
    let caller = fleet.caller().await;
    for (cell, input) in [("demo.tells", json!({ "text": "a" })), ("demo.shout", json!("a"))] {
        caller.until_answered(cell, &input).await;
    }
    let reported = &exported(&mut pinned).await | &exported(&mut joined).await;
    let documented = documented();
    let unknown: Vec<_> = reported.difference(&documented).collect();
    assert!(unknown.is_empty(), "deploy/OPERATING.md has no row for {unknown:?}");
    let silent: Vec<_> =
        documented.difference(&reported).filter(|name| !SELDOM.contains(&name.as_str())).collect();
    assert!(silent.is_empty(), "deploy/OPERATING.md has rows for what no body tells: {silent:?}");
}
