//! Faults of a cell stay its own, as far as one interpreter can contain them: failures are
//! reported, and the body continues.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::time::{Duration, Instant};

use cbs::{BodyBus, CellError, Code, Envelope};
use serde_json::json;
use support::{Body, LONG, call_within, target, workers};
use testkit::{eventually, within};

/// Checks that the cell and another one answer after a call that does this.
async fn contained(text: &str, parts: &[&str]) {
    let body = Body::new();
    body.file("fine.py", "async def run(input):\n    return 'fine'\n");
    let _fine = body.start("demo.fine", "fine.py:run", "").await;
    for kind in ["async def", "def"] {
        let text = text.replace("async def run", &format!("{kind} run"));
        let running = body.cell(&text, "").await;
        let request =
            Envelope { timeout: Some(LONG), ..Envelope::request(target("demo.cell"), "true") };
        let id = request.id;
        let answer = body.bus.call(request).await;
        assert_eq!(answer, Err(CellError::cell_failed(id).into()), "{text}\n{}", body.log.text());
        body.log.has(&[&["ERROR", "demo.cell", &id.to_string()], parts].concat()).await;
        assert_eq!(
            body.call("demo.cell", json!(false)).await,
            Ok(json!("well")),
            "{text}\n{}",
            body.log.text()
        );
        assert_eq!(body.call("demo.fine", json!(null)).await, Ok(json!("fine")));
        within(LONG, "the stop", running.stop()).await;
    }
}

fn failing(line: &str) -> String {
    format!(
        "import sys, asyncio, os\ndef forever(n):\n    return forever(n + 1) + 1\nasync def run(input: bool):\n    if input:\n        {line}\n    return 'well'\n"
    )
}

#[tokio::test]
async fn exceptions_cost_their_own_caller() {
    contained(
        &failing("raise ValueError('the secret is 4711')"),
        &["ValueError: the secret is 4711"],
    )
    .await;
    contained(&failing("sys.exit('bye')"), &["SystemExit: bye"]).await;
    contained(&failing("raise KeyboardInterrupt"), &["KeyboardInterrupt"]).await;
    contained(&failing("raise GeneratorExit"), &["GeneratorExit"]).await;
    contained(&failing("raise MemoryError"), &["MemoryError"]).await;
    contained(&failing("raise asyncio.CancelledError"), &["CancelledError"]).await;
    contained(&failing("raise StopIteration"), &["StopIteration"]).await;
    contained(&failing("forever(0)"), &["RecursionError"]).await;
}

#[tokio::test]
async fn texts_with_halves_of_characters_are_told_all_the_same() {
    // As names of files have them whose bytes are no UTF-8.
    contained(&failing("raise ValueError('it is a\\udcffb')"), &["ValueError: it is a"]).await;
    contained(&failing("print('it is a\\udcffb'); raise ValueError('bad')"), &["ValueError: bad"])
        .await;
    contained(
        &failing("raise __import__('cbs').CellError('demo.no', 'a\\udcffb')"),
        &["CellError"],
    )
    .await;
    contained(&failing("return 'a\\udcffb'"), &["result"]).await;
}

#[tokio::test]
async fn results_that_json_cannot_hold_cost_their_caller_and_are_told() {
    contained(&failing("return object()"), &["result", "object"]).await;
    contained(&failing("return {1j: 2}"), &["result"]).await;
    contained(&failing("a = []; a.append(a); return a"), &["result"]).await;
}

#[tokio::test]
async fn a_class_whose_own_words_fail_is_contained() {
    let text = "
class Rude(Exception):
    def __str__(self):
        raise SystemExit('even here')
async def run(input: bool):
    if input:
        raise Rude()
    return 'well'
";
    contained(text, &["Rude"]).await;
}

#[tokio::test]
async fn an_exit_in_a_task_of_the_cells_own_does_not_end_the_lane() {
    let body = Body::new();
    let text = "
import asyncio, sys; wait = asyncio.sleep
async def leave():
    sys.exit(3)
async def run(input: bool):
    if input:
        asyncio.get_running_loop().create_task(leave())
        await wait(0.01)
    return 'well'
";
    let _running = body.cell(text, "").await;
    assert_eq!(body.call("demo.cell", json!(true)).await, Ok(json!("well")));
    assert_eq!(body.call("demo.cell", json!(false)).await, Ok(json!("well")));
    body.log.has(&["a task of the cell raised SystemExit", "demo.cell"]).await;
}

#[tokio::test]
async fn a_cell_that_blocks_its_lane_is_named_with_file_and_line() {
    let body = Body::new();
    let text = "
import time; block = time.sleep
async def run(input: float):
    block(input)
    return 'well'
";
    let running = body.cell(text, "").await;
    let blocked = body.call("demo.cell", json!(1.8));
    let seen = async {
        eventually("it is shown as blocked", LONG, async || {
            workers(&running)[0].state == "blocked"
        })
        .await;
    };
    let (answer, ()) = tokio::join!(blocked, seen);
    assert_eq!(answer, Ok(json!("well")));
    body.log.has(&["WARN", "demo.cell", "blocked lane 0", "cell.py:4 in run"]).await;
    assert_eq!(body.log.text().matches("blocked lane 0").count(), 1);
    assert_eq!(body.call("demo.cell", json!(0.0)).await, Ok(json!("well")));
    assert_eq!(workers(&running)[0].state, "ready");
}

#[tokio::test]
async fn code_that_keeps_pythons_lock_is_told_of_without_its_place() {
    let body = Body::new();
    let text = "
import ctypes
# Unlike CDLL, it calls with Python's lock held, as extensions in C may.
hold = ctypes.PyDLL(None).usleep
async def run(input: int):
    hold(input)
    return 'well'
";
    let running = body.cell(text, "").await;
    let answer = call_within(&*body.bus, "demo.cell", json!(2_500_000), LONG);
    let seen = eventually("the wait for the lock is shown", LONG, async || {
        workers(&running)[0].lock_wait_us > 400_000
    });
    let (answer, ()) = tokio::join!(answer, seen);
    assert_eq!(answer, Ok(json!("well")));
    body.log.has(&["WARN", "demo.cell", "blocked lane 0", "keeps Python's lock"]).await;
}

#[tokio::test]
async fn a_body_without_an_environment_does_with_the_standard_library() {
    let program = std::env::current_exe().unwrap();
    let mut child = tokio::process::Command::new(program);
    child
        .args(["--exact", "without_an_environment", "--ignored", "--nocapture"])
        .env("CBS_TOOLS", "/proc/nowhere");
    let output = within(LONG * 2, "its end", child.output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
#[ignore = "started by a_body_without_an_environment_does_with_the_standard_library"]
async fn without_an_environment() {
    let body = Body::new();
    let text = "
import sys
from dataclasses import dataclass
@dataclass
class Name:
    name: str
async def run(input: Name) -> str:
    return input.name + str('msgspec' in sys.modules)
";
    let _running = body.cell(text, "").await;
    assert_eq!(body.call("demo.cell", json!({"name": "Ada"})).await, Ok(json!("AdaFalse")));
    body.log.has(&["WARN", "without msgspec", "/proc/nowhere"]).await;
    let python_info = host_python::python_info();
    assert!(
        !python_info.has_msgspec && python_info.environment.starts_with("/proc/nowhere"),
        "{python_info:?}"
    );
}

#[tokio::test]
async fn other_cells_answer_while_one_blocks() {
    let body = Body::new();
    body.file("fine.py", "async def run(input):\n    return 'fine'\n");
    let _fine = body.start("demo.fine", "fine.py:run", "").await;
    let _running = body.cell("async def run(input):\n    while True:\n        pass\n", "").await;
    let error = call_within(&*body.bus, "demo.cell", json!(1), Duration::from_millis(700))
        .await
        .unwrap_err();
    assert_eq!(error.code(), &Code::Timeout);
    // One lock, passed on every 5 ms: slowly, but they do.
    for _ in 0..5 {
        assert_eq!(body.call("demo.fine", json!(null)).await, Ok(json!("fine")));
    }
    let error = call_within(&*body.bus, "demo.cell", json!(1), Duration::from_millis(700))
        .await
        .unwrap_err();
    assert_eq!(error.code(), &Code::Timeout);
    body.log.has(&["blocked lane 0", "cell.py:", "in run"]).await;
}

#[tokio::test]
async fn a_cancellation_that_is_swallowed_is_told() {
    let body = Body::new();
    let text = "
import asyncio; wait = asyncio.sleep
async def run(input):
    try:
        await wait(60)
    except asyncio.CancelledError:
        return 'not me'
";
    let _running = body.cell(text, "").await;
    let error = call_within(&*body.bus, "demo.cell", json!(1), Duration::from_millis(700))
        .await
        .unwrap_err();
    assert_eq!(error.code(), &Code::Timeout);
    body.log.has(&["WARN", "demo.cell", "swallowed its cancellation"]).await;
}

#[tokio::test]
async fn a_call_that_does_not_end_when_cancelled_is_told_with_its_place() {
    let body = Body::new();
    let text = "
import asyncio, time; wait = asyncio.sleep
async def run(input):
    while True:
        try:
            await wait(60)
        except asyncio.CancelledError:
            pass
";
    let running = body.cell(text, "").await;
    let error = call_within(&*body.bus, "demo.cell", json!(1), Duration::from_millis(700))
        .await
        .unwrap_err();
    assert_eq!(error.code(), &Code::Timeout);
    body.log.has(&["WARN", "demo.cell", "has not ended", "cell.py:6 in run"]).await;
    within(LONG, "the stop", running.stop()).await;
    let running =
        body.cell("import time; block = time.sleep\ndef run(input):\n    block(3)\n", "").await;
    let error = call_within(&*body.bus, "demo.cell", json!(1), Duration::from_millis(700))
        .await
        .unwrap_err();
    assert_eq!(error.code(), &Code::Timeout);
    body.log.has(&["WARN", "demo.cell", "has not ended", "cell.py:3 in run"]).await;
    running.stop().await;
}

#[tokio::test]
async fn tasks_that_are_left_behind_are_counted_and_cancelled_at_the_stop() {
    let body = Body::new();
    let text = "
import asyncio, logging; wait = asyncio.sleep
left = set()
async def linger():
    try:
        await wait(60)
    finally:
        logging.getLogger('me').info('gone')
async def run(input):
    for _ in range(3):
        left.add(asyncio.create_task(linger()))
    await wait(0)
";
    let running = body.cell(text, "").await;
    body.call("demo.cell", json!(null)).await.unwrap();
    within(LONG, "the stop", running.stop()).await;
    body.log.has(&["WARN", "demo.cell", "left 3 tasks behind", "cell.py:6"]).await;
    assert_eq!(body.log.text().matches("gone").count(), 3);
}

#[tokio::test]
async fn what_is_printed_becomes_lines_of_the_log_bounded() {
    let body = Body::new();
    let text = "
import sys, subprocess
async def run(input: int):
    print('hello', 'there', end='!\\n')
    print('to stderr', file=sys.stderr)
    for index in range(input):
        print(f'line {index} ' + 'x' * 400)
    print('y' * 100_000)
    return subprocess.run(['echo', 'out'], capture_output=True, text=True).stdout
";
    let _running = body.cell(text, "").await;
    let began = Instant::now();
    assert_eq!(body.call("demo.cell", json!(5_000)).await, Ok(json!("out\n")));
    body.log.has(&["INFO", "demo.cell", "stdout", "hello there!", "correlation_id="]).await;
    body.log.has(&["INFO", "demo.cell", "stderr", "to stderr"]).await;
    body.log
        .has(&["WARN", "cbs::log", "demo.cell", "lines that the cell printed were left out"])
        .await;
    // A thousand at once, and two hundred a second.
    let most = 1_000 + 200 * (1 + usize::try_from(began.elapsed().as_secs()).unwrap());
    let lines = body.log.text().lines().filter(|line| line.contains("xxxx")).count();
    assert!((900..=most).contains(&lines), "{lines} of {most}");
}

#[tokio::test]
async fn a_fork_past_the_refusal_ends_in_the_child_and_a_subprocess_works() {
    let body = Body::new();
    let text = "
import os, posix, subprocess, sys
async def run(input):
    child = posix.fork()
    if child == 0:
        os.write(1, b'the child runs the body\\n')
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    hooked = subprocess.run(['true'], preexec_fn=lambda: None).returncode
    python = subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True).stdout
    return [status, hooked, python.strip()]
";
    let _running = body.cell(text, "").await;
    assert_eq!(
        body.call("demo.cell", json!(null)).await,
        Ok(json!([70, 0, "42"])),
        "{}",
        body.log.text()
    );
}

#[tokio::test]
async fn eight_blocking_calls_at_once_get_eight_lanes_and_leave_one() {
    let body = Body::new();
    let text = "
import time; block = time.sleep
async def run(input: float):
    block(input)
";
    let running = body.cell(text, "workers: { min: 1, max: 8 }").await;
    let bus = body.bus.clone();
    let calls = (0..8).map(|_| call_within(&*bus, "demo.cell", json!(1.5), LONG));
    let grown = eventually("there are eight", LONG, async || workers(&running).len() == 8);
    let (answers, ()) = tokio::join!(futures::future::join_all(calls), grown);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    eventually("one is left", Duration::from_secs(30), async || workers(&running).len() == 1).await;
    assert_eq!(call_within(&*bus, "demo.cell", json!(0.0), LONG).await, Ok(json!(null)));
    assert_eq!(running.state().borrow().restarts, 0);
}
