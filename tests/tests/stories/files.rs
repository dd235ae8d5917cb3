//! A body that may open no more files.

use std::time::Duration;

use e2e::{Body, Fleet, Process};
use serde_json::{Value, json};
use testkit::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Cell that opens all files that the body may open; and of the files that become free, as many as
/// two connections need.
const LEAK: &str = r#"
import os, threading

kept: list[int] = []
pause = threading.Event()

def take() -> bool:
    try:
        kept.append(os.open("/dev/null", os.O_RDONLY))
        return True
    except OSError:
        return False

def take_two() -> None:
    wanted = len(kept) + 2
    while len(kept) < wanted:
        if not take():
            pause.wait(0.01)
    print("what was free is taken")

async def leak(_: dict) -> dict:
    thread = threading.Thread(target=take_two)
    while take():
        pass
    thread.start()
    return {"kept": len(kept)}
"#;
/// Cell that answers with the limits of a process that the body starts.
const LIMITS: &str = r#"
import resource

async def limits(_: dict) -> dict:
    return {"limits": list(resource.getrlimit(resource.RLIMIT_NOFILE))}
"#;

/// Returns the status line of `/healthz`; `None` if the body does not answer.
async fn healthz(address: &str) -> Option<String> {
    let asked = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answered = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(asked.as_bytes()).await.ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await.ok()?;
        page.lines().next().map(str::to_owned)
    };
    tokio::time::timeout(Duration::from_secs(5), answered).await.ok()?
}

/// Starts the body with these limits of open files; returns it and the address of its probes.
async fn up(fleet: &Fleet, body: &Body, (soft, hard): (u64, u64)) -> (Process, String) {
    let body = body.clone().with(&["--http", "127.0.0.1:0", "--format", "json"]);
    let mut command = fleet.command(&body);
    // SAFETY: `setrlimit` is safe between fork and exec.
    unsafe {
        command.pre_exec(move || {
            Ok(nix::sys::resource::setrlimit(
                nix::sys::resource::Resource::RLIMIT_NOFILE,
                soft,
                hard,
            )?)
        });
    }
    let mut body = fleet.world.start(command);
    let said: Value = serde_json::from_str(&body.until_printed("\n}\n").await).unwrap();
    let address = said["http"].as_str().unwrap().trim_start_matches("http://").to_owned();
    (body, address)
}

fn python(name: &str, source: &str) -> String {
    format!(
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {name} }}\nspec: {{ runtime: python, {source} }}\n"
    )
}

#[tokio::test]
async fn a_body_whose_cells_have_opened_all_that_it_may_open_answers_probes_and_connects_again() {
    let mut fleet = Fleet::start().await;
    let body = Body::greeting("full")
        .file("cells/demo.leaks.yaml", &python("demo.leaks", "source: 'leaks.py:leak'"))
        .file("cells/leaks.py", LEAK);
    let (mut body, address) = up(&fleet, &body, (120, 120)).await;
    let caller = fleet.caller().await;
    let kept = caller.call("demo.leaks", &json!({})).await.json()["kept"].as_u64();
    assert!(kept.is_some_and(|kept| kept > 10), "{kept:?}");
    for _ in 0..20 {
        assert_eq!(healthz(&address).await.as_deref(), Some("HTTP/1.1 200 OK"));
    }
    fleet.server.kill().await;
    body.until_told("the connection to NATS is lost").await;
    body.until_told("what was free is taken").await;
    assert!(healthz(&address).await.is_some());
    fleet.server.restart().await;
    fleet.caller().await.until_answered("logic.greet", &json!({ "name": "Ada" })).await;
    eventually("a healthy body", e2e::LIMIT, async || {
        healthz(&address).await.as_deref() == Some("HTTP/1.1 200 OK")
    })
    .await;
}

#[tokio::test]
async fn the_soft_limit_is_raised_for_the_body_and_not_for_the_processes_that_it_starts() {
    let fleet = Fleet::start().await;
    let body = Body::without_files("raised")
        .file(
            "cells/demo.own.yaml",
            &python("demo.own", "source: 'limits.py:limits', isolation: process"),
        )
        .file("cells/demo.shared.yaml", &python("demo.shared", "source: 'limits.py:limits'"))
        .file("cells/limits.py", LIMITS);
    let (body, _) = up(&fleet, &body, (100, 512)).await;
    let caller = fleet.caller().await;
    assert_eq!(caller.call("demo.own", &json!({})).await.json()["limits"], json!([100, 512]));
    assert_eq!(caller.call("demo.shared", &json!({})).await.json()["limits"], json!([496, 512]));
    drop(body);
    let greeting = Body::greeting("low").file("cells/limits.py", LIMITS);
    let many = (0..10).fold(greeting, |body, number| {
        let name = format!("demo.c{number}");
        body.file(&format!("cells/{name}.yaml"), &python(&name, "source: 'limits.py:limits'"))
    });
    let (mut low, _) = up(&fleet, &many, (120, 120)).await;
    low.until_told("this body may open 105 files and needs about 114").await;
}
