//! Python cells in processes of their own: what one of them does costs only its own calls.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use cbs::{BodyBus, Code, Distance, Envelope};
use serde_json::json;
use support::{Body, LONG, call_within, target, workers};
use testkit::{eventually, within};

/// What the processes of these tests run.
#[test]
#[ignore = "started by cells in processes of their own"]
fn worker() -> ExitCode {
    let arguments = std::env::args_os().skip_while(|argument| argument != "--").skip(1);
    host_python::worker(arguments)
}

const APART: &str = "isolation: process";

/// Answers with what it is told to do first.
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
    assert_eq!(reply.distance, Distance::Process);
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
    let running = body.cell(text, &format!("{APART}\nconfig: {{ limit: 3 }}\nenv: {{ MODE: quick }}")).await;
    let answer = body.call("demo.cell", json!(1)).await;
    assert_eq!(answer, Ok(json!([12, "who? Ada", {"limit": 3}, "web1", "quick"])), "{}", body.log.text());
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
async fn a_stuck_call_ends_its_process_which_is_back_within_a_second_or_so() {
    for mood in ["loop", "sleep", "stubborn"] {
        let body = Body::new();
        let running = body.cell(MOODY, &format!("{APART}\nworkers: 2")).await;
        let before = pids(&body).await;
        let error = call_within(&*body.bus, "demo.cell", json!(mood), Duration::from_millis(700)).await.unwrap_err();
        assert_eq!(error.code(), &Code::Timeout, "{mood}");
        let began = Instant::now();
        body.log.has(&["has not ended", "cell.py:"]).await;
        eventually("a new process serves", LONG, async || {
            workers(&running).iter().filter(|worker| worker.state == "ready").count() == 2
                && pids(&body).await != before
        })
        .await;
        assert!(began.elapsed() < Duration::from_secs(8), "{mood}: {:?}", began.elapsed());
        within(LONG, "the stop", running.stop()).await;
    }
}

/// The processes that answer.
async fn pids(body: &Body) -> std::collections::BTreeSet<i64> {
    let answers = futures::future::join_all((0..8).map(|_| body.call("demo.cell", json!("")))).await;
    answers.into_iter().flatten().filter_map(|answer| answer.as_i64()).collect()
}

#[tokio::test]
async fn a_call_that_awaits_is_cancelled_and_the_process_lives() {
    let body = Body::new();
    let running = body.cell(MOODY, APART).await;
    let before = body.call("demo.cell", json!("")).await.unwrap();
    for _ in 0..3 {
        let error = call_within(&*body.bus, "demo.cell", json!("wait"), Duration::from_millis(700)).await.unwrap_err();
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
    body.file("requirements.txt", "# what it needs\ncbs-sdk\n./local\n");
    let text = "import cbs, tiny\nasync def run(input):\n    return tiny.ANSWER\n";
    body.file("cell.py", text);
    let running = body.begin(&body.spec("demo.cell", "cell.py:run", ""));
    // The first time, an environment is made.
    running.ready(Duration::from_secs(100)).await.unwrap_or_else(|state| panic!("{state:?}\n{}", body.log.text()));
    let reply = body.bus.call(Envelope::request(target("demo.cell"), "null")).await.unwrap();
    assert_eq!((reply.payload.as_ref(), reply.distance), (&b"42"[..], Distance::Process));
    running.stop().await;
}

/// A package that needs no index: it builds itself.
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
    body.file("pyproject.toml", "[project]\nname = 'x'\nversion = '1'\ndependencies = ['./nowhere-at-all']\n");
    body.file("cell.py", "async def run(input):\n    pass\n");
    let running = body.begin(&body.spec("demo.cell", "cell.py:run", ""));
    let reason = running.ready(LONG * 5).await.unwrap_err().reason.unwrap();
    for part in ["demo.cell", "cannot be installed", "pyproject.toml", "nowhere-at-all"] {
        assert!(reason.contains(part), "{reason}");
    }
}
