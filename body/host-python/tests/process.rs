//! Python cells in processes of their own: a fault of one affects only its own calls.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::{process::ExitCode, time::Duration};

use cbs::{BodyBus, Code, Envelope, Transport};
use serde_json::json;
use support::{Body, LONG, call_within, target, workers};
use testkit::{eventually, vectors, within};

/// Entry point of the processes of these tests.
#[test]
#[ignore = "started by cells in processes of their own"]
fn worker() -> ExitCode {
    let arguments = std::env::args_os().skip_while(|argument| argument != "--").skip(1);
    host_python::worker(arguments)
}

const APART: &str = "isolation: process";

/// Cell that does what its input says before it answers.
const MOODY: &str = r#"
import asyncio, os, sys, time, ctypes, resource, signal; wait, block = asyncio.sleep, time.sleep
async def run(input: str):
    if input == 'segfault':
        ctypes.string_at(0)
    elif input == 'exit':
        os._exit(3)
    elif input == 'kill':
        os.kill(os.getpid(), signal.SIGKILL)
    elif input == 'memory':
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 28, 1 << 28))
        hoard = []
        while True:
            hoard.append(bytearray(1 << 24))
    elif input == 'loop':
        while True:
            pass
    elif input == 'sleep':
        block(60)
    elif input == 'stubborn':
        while True:
            try:
                await wait(60)
            except asyncio.CancelledError:
                pass
    elif input == 'wait':
        await wait(60)
    return os.getpid()
"#;

#[tokio::test]
async fn a_cell_in_a_process_answers_from_there() {
    let body = Body::new();
    let running = body.cell(MOODY, APART).await;
    let reply = body.bus.call(Envelope::request(target("demo.cell"), "\"\"")).await.unwrap();
    assert_eq!(reply.via, Transport::Ipc);
    assert_ne!(reply.payload, std::process::id().to_string());
    assert_eq!(workers(&running).len(), 1);
    within(LONG, "the stop", running.stop()).await;
}

#[tokio::test]
async fn it_has_the_whole_context() {
    let body = Body::new();
    body.file("add.py", "async def run(input: int) -> int:\n    return input + 1\n");
    let _add = body.start("demo.add", "add.py:run", "").await;
    let text = "
import cbs, logging, os
@cbs.start
async def open(state):
    state.base = 10
async def run(ctx, input: int) -> list:
    found = [await ctx.call('demo.add', input + ctx.state.base), await ctx.ask('who?'), ctx.config, ctx.body, os.environ['MODE']]
    await ctx.print(f'found {found[0]}')
    ctx.log.warning('logged %s', input)
    print('printed', input)
    return found
";
    let running =
        body.cell(text, &format!("{APART}\nconfig: {{ limit: 3 }}\nenv: {{ MODE: quick }}")).await;
    let answer = body.call("demo.cell", json!(1)).await;
    assert_eq!(
        answer,
        Ok(json!([12, "who? Ada", {"limit": 3}, "web1", "quick"])),
        "{}",
        body.log.text()
    );
    assert_eq!(body.screen.lines(), ["found 12"]);
    body.log.has(&["WARN", "demo.cell", "logged 1"]).await;
    body.log.has(&["INFO", "demo.cell", "printed 1"]).await;
    running.stop().await;
}

#[tokio::test]
async fn whatever_ends_the_process_costs_only_its_calls_and_it_is_back() {
    let body = Body::new();
    body.file("fine.py", "async def run(input):\n    return 'fine'\n");
    let _fine = body.start("demo.fine", "fine.py:run", "").await;
    for mood in ["segfault", "exit", "kill", "memory"] {
        let running = body.cell(MOODY, &format!("{APART}\nworkers: 2")).await;
        let error = call_within(&*body.bus, "demo.cell", json!(mood), LONG).await.unwrap_err();
        assert_eq!(error.code(), &Code::CellFailed, "{mood}");
        // The other process serves meanwhile.
        assert!(body.call("demo.cell", json!("")).await.is_ok(), "{mood}");
        assert_eq!(body.call("demo.fine", json!(null)).await, Ok(json!("fine")));
        if mood != "memory" {
            eventually("both are there again", LONG, async || {
                workers(&running).iter().filter(|worker| worker.state == "ready").count() == 2
            })
            .await;
        }
        within(LONG, "the stop", running.stop()).await;
    }
}

#[tokio::test]
async fn a_stuck_call_ends_its_process_which_is_back() {
    for mood in ["loop", "sleep", "stubborn"] {
        let body = Body::new();
        let running = body.cell(MOODY, &format!("{APART}\nworkers: 2")).await;
        let before = pids(&body).await;
        let error = call_within(&*body.bus, "demo.cell", json!(mood), Duration::from_millis(700))
            .await
            .unwrap_err();
        assert_eq!(error.code(), &Code::Timeout, "{mood}");
        body.log.has(&["has not ended", "cell.py:"]).await;
        eventually("a new process serves", LONG, async || {
            workers(&running).iter().filter(|worker| worker.state == "ready").count() == 2
                && pids(&body).await != before
        })
        .await;
        within(LONG, "the stop", running.stop()).await;
    }
}

/// Returns the ids of the processes that answer.
async fn pids(body: &Body) -> std::collections::BTreeSet<i64> {
    let answers =
        futures::future::join_all((0..8).map(|_| body.call("demo.cell", json!("")))).await;
    answers.into_iter().flatten().filter_map(|answer| answer.as_i64()).collect()
}

#[tokio::test]
async fn a_call_that_awaits_is_cancelled_and_the_process_lives() {
    let body = Body::new();
    let running = body.cell(MOODY, APART).await;
    let before = body.call("demo.cell", json!("")).await.unwrap();
    for _ in 0..3 {
        let error = call_within(&*body.bus, "demo.cell", json!("wait"), Duration::from_millis(700))
            .await
            .unwrap_err();
        assert_eq!(error.code(), &Code::Timeout);
    }
    assert_eq!(body.call("demo.cell", json!("")).await, Ok(before));
    running.stop().await;
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_told() {
    let body = Body::new();
    body.file("cell.py", "import no_such_module\nasync def run(input):\n    pass\n");
    let running = body.begin(&body.spec("demo.cell", "cell.py:run", APART));
    let state = running.ready(LONG).await.unwrap_err();
    let reason = state.reason.unwrap();
    for part in ["cell.py:1", "no_such_module"] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[tokio::test]
async fn requirements_beside_the_file_are_installed_for_its_own_processes() {
    let body = Body::new();
    body.file(
        "local/pyproject.toml",
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
    );
    body.file("local/backend.py", BACKEND);
    body.file("requirements.txt", "\u{feff}# what it needs\r\ncbs-sdk\r\n-r more/base.txt\r\n");
    body.file("more/base.txt", "-c limits.txt\n./local # as seen from the cell's folder\n");
    body.file("more/limits.txt", "tiny==1.0\n");
    let text = "import cbs, tiny\nasync def run(input):\n    return tiny.ANSWER\n";
    body.file("cell.py", text);
    let running = body.begin(&body.spec("demo.cell", "cell.py:run", ""));
    // The first time, an environment is made.
    running
        .ready(Duration::from_secs(100))
        .await
        .unwrap_or_else(|state| panic!("{state:?}\n{}", body.log.text()));
    let reply = body.bus.call(Envelope::request(target("demo.cell"), "null")).await.unwrap();
    assert_eq!((reply.payload.as_ref(), reply.via), (&b"42"[..], Transport::Ipc));
    running.stop().await;
}

/// Package that builds itself and so needs no index.
const BACKEND: &str = r#"
import zipfile, pathlib
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("tiny.py", "ANSWER = 42\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return name
"#;

#[tokio::test]
async fn requirements_that_cannot_be_had_are_told() {
    let body = Body::new();
    body.file(
        "local/pyproject.toml",
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
    );
    body.file(
        "local/backend.py",
        "def build_wheel(*_, **__):\n    raise RuntimeError('nothing-at-all')\n",
    );
    body.file("requirements.txt", "./local\n");
    body.file("cell.py", "async def run(input):\n    pass\n");
    let running = body.begin(&body.spec("demo.cell", "cell.py:run", ""));
    let reason = running.ready(LONG * 5).await.unwrap_err().reason.unwrap();
    for part in ["demo.cell", "cannot be installed", "requirements.txt", "nothing-at-all"] {
        assert!(reason.contains(part), "{reason}");
    }
}

/// Returns the entries of a list in `payloads.json`: the name, the payload, and Python's result for
/// it.
fn payloads(list: &str) -> Vec<(String, Vec<u8>, String)> {
    let all: serde_json::Value = vectors::read("payloads.json");
    let bytes = |entry: &serde_json::Value| {
        vectors::unhex(entry["payload"].as_str().unwrap())
            .repeat(entry["times"].as_u64().map_or(1, |times| times.try_into().unwrap()))
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let entries = all[list].as_array().unwrap().iter();
    entries.map(|entry| (text(&entry["name"]), bytes(entry), text(&entry["python"]))).collect()
}

#[tokio::test]
async fn what_is_no_json_is_refused_in_a_lane_and_in_a_process() {
    for fields in ["", APART] {
        let body = Body::new();
        let running = body.cell("async def run(input):\n    return input\n", fields).await;
        for (name, payload, reason) in payloads("refused") {
            let error =
                body.bus.call(Envelope::request(target("demo.cell"), payload)).await.unwrap_err();
            assert_eq!(error.code(), &Code::BadRequest, "{name}: {error}");
            assert!(
                error.to_string().contains(&format!("the payload: {reason}")),
                "{name}: {error}"
            );
        }
        for (name, payload, _) in payloads("accepted").into_iter().chain(payloads("beyond-64-bits"))
        {
            let reply = body
                .bus
                .call(Envelope::request(target("demo.cell"), payload.clone()))
                .await
                .unwrap();
            let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
            assert_eq!(read(&reply.payload), read(&payload), "{name}");
        }
        assert!(!body.log.text().contains("ERROR"), "{}", body.log.text());
        within(LONG, "the stop", running.stop()).await;
    }
}

#[tokio::test]
async fn a_union_of_dataclasses_is_served_and_a_number_that_json_has_not_is_the_cells_failure() {
    let text = "
from dataclasses import dataclass
from typing import Literal
@dataclass
class Cat:
    kind: Literal['cat']
@dataclass
class Dog:
    kind: Literal['dog']
    age: float
async def run(pet: Cat | Dog) -> Dog:
    return Dog('dog', float('nan') if isinstance(pet, Cat) else pet.age)
";
    for fields in ["", APART] {
        let body = Body::new();
        let running = body.cell(text, fields).await;
        assert_eq!(
            body.call("demo.cell", json!({"kind": "dog", "age": 2})).await.unwrap()["age"],
            json!(2.0)
        );
        let error = body.call("demo.cell", json!({"kind": "dog", "age": "x"})).await.unwrap_err();
        assert_eq!(error.to_string(), "bad-request: `age`: expected `float`, got `str`");
        let error = body.call("demo.cell", json!({"kind": "cat"})).await.unwrap_err();
        assert_eq!(error.code(), &Code::CellFailed);
        let why = "the result is no JSON: `age`: NaN is no number of JSON";
        eventually("the reason is logged", LONG, async || body.log.text().contains(why)).await;
        within(LONG, "the stop", running.stop()).await;
    }
}
