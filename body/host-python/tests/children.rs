//! Threads and processes that cells start: threads that know their call, and processes of
//! `multiprocessing`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::{fs, path::Path, process::ExitCode, time::Duration};

use cbs::Code;
use serde_json::json;
use support::{Body, LONG, call_within};
use testkit::{eventually, within};

/// Entry point of the processes of these tests.
#[test]
#[ignore = "started by cells in processes of their own"]
fn worker() -> ExitCode {
    let arguments = std::env::args_os().skip_while(|argument| argument != "--").skip(1);
    host_python::worker(arguments)
}

/// Settings of a cell in a lane of the body, and of a cell in a process of its own.
const EVERYWHERE: [&str; 2] = ["", "isolation: process"];

/// Returns true if a process is there and has not ended.
fn lives(pid: &serde_json::Value) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    status.is_ok_and(|status| !status.contains(") Z "))
}

#[tokio::test]
async fn functions_of_a_cells_module_run_in_processes() {
    let text = "
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
import cbs, helper
@dataclass
class Pair:
    one: int
    two: int
def add(pair: Pair) -> int:
    print('adding', pair.one, 'is', helper.NAME)
    return pair.one + pair.two
def note(queue):
    queue.put(os.getpid())
def run(method: str | None) -> list:
    context = multiprocessing.get_context(method)
    pairs = [Pair(1, 2), Pair(3, 4)]
    with context.Pool(2) as pool:
        found = pool.map(add, pairs)
    with ProcessPoolExecutor(1, context) as pool:
        found += pool.map(add, pairs)
    queue = context.Queue()
    process = context.Process(target=note, args=(queue,))
    process.start()
    found.append(queue.get() == process.pid)
    process.join()
    return found
";
    for fields in EVERYWHERE {
        let body = Body::new();
        body.file("helper.py", "NAME = 'help'\n");
        // A process takes its time to start, on a busy machine seconds.
        let running = body.cell(text, &format!("timeout: 20s\n{fields}")).await;
        // Without a name it is `spawn`.
        for method in [json!(null), json!("forkserver")] {
            let answer = call_within(&*body.bus, "demo.cell", method.clone(), LONG).await;
            assert_eq!(
                answer,
                Ok(json!([3, 7, 3, 7, true])),
                "{method} {fields}\n{}",
                body.log.text()
            );
        }
        body.log.has(&["INFO", "demo.cell", "stdout", "adding 3 is help"]).await;
        within(LONG, "the stop", running.stop()).await;
    }
}

#[tokio::test]
async fn a_fork_is_refused_at_once_and_leaves_nothing() {
    let text = "
import multiprocessing, os, pty
from concurrent.futures import ProcessPoolExecutor
def square(x):
    return x * x
def run(what: str):
    context = multiprocessing.get_context('fork')
    if what == 'pool':
        context.Pool(2)
    elif what == 'process':
        context.Process(target=square, args=(1,)).start()
    elif what == 'executor':
        with ProcessPoolExecutor(2, context) as pool:
            return list(pool.map(square, [1, 2]))
    elif what == 'pty':
        pty.fork()
    elif what == 'os':
        os.fork()
    return multiprocessing.active_children()
";
    for fields in EVERYWHERE {
        let body = Body::new();
        let running = body.cell(text, fields).await;
        for what in ["pool", "process", "executor", "pty", "os"] {
            let error = body.call("demo.cell", json!(what)).await.unwrap_err();
            assert_eq!(error.code(), &Code::CellFailed, "{what} {fields}");
        }
        let count = || body.log.text().matches("RuntimeError: a cell cannot fork").count();
        eventually("each is told", LONG, async || count() >= 10).await;
        body.log.has(&["ERROR", "demo.cell", "a cell cannot fork", "start method `spawn`"]).await;
        assert_eq!(body.call("demo.cell", json!("")).await, Ok(json!([])));
        within(LONG, "the stop", running.stop()).await;
    }
}

#[tokio::test]
async fn processes_that_are_left_behind_end_with_the_cell() {
    let text = "
import multiprocessing, time
left = []
def linger():
    print('lingering')
    time.sleep(600)  # sleep: it is to be ended
def run(input):
    left.append(multiprocessing.Process(target=linger))
    left[-1].start()
    return left[-1].pid
";
    for fields in EVERYWHERE {
        let body = Body::new();
        let running = body.cell(text, fields).await;
        let pid = body.call("demo.cell", json!(null)).await.unwrap();
        body.log.has(&["demo.cell", "lingering"]).await;
        assert!(lives(&pid), "{fields}");
        within(LONG, "the stop", running.stop()).await;
        eventually("it has ended", LONG, async || !lives(&pid)).await;
        body.log.has(&["WARN", "demo.cell", "left 1 processes behind"]).await;
    }
}

#[tokio::test]
async fn a_process_that_does_not_end_when_it_is_asked_to_is_killed_with_the_cell() {
    let text = "
import multiprocessing, signal, time
left = []
def linger():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print('lingering')
    time.sleep(600)  # sleep: it is to be ended
def run(method: str):
    left.append(multiprocessing.get_context(method).Process(target=linger))
    left[-1].start()
    return left[-1].pid
";
    for fields in EVERYWHERE {
        let body = Body::new();
        let running = body.cell(text, &format!("timeout: 20s\n{fields}")).await;
        let mut pids = Vec::new();
        for method in ["spawn", "spawn", "forkserver"] {
            pids.push(call_within(&*body.bus, "demo.cell", json!(method), LONG).await.unwrap());
        }
        eventually("they ignore it", LONG, async || {
            body.log.text().matches("lingering").count() == 3
        })
        .await;
        within(LONG, "the stop", running.stop()).await;
        let path = |pid: &serde_json::Value| Path::new("/proc").join(pid.to_string());
        // Those that are spawned leave no zombie either.
        eventually("they have ended", LONG, async || {
            !pids.iter().any(lives) && !path(&pids[0]).exists()
        })
        .await;
        body.log.has(&["WARN", "demo.cell", "left 3 processes behind"]).await;
    }
}

#[tokio::test]
async fn a_process_ends_with_the_one_that_was_killed() {
    let text = "
import multiprocessing, os, signal, time
def linger():
    print('lingering')
    time.sleep(600)  # sleep: it is to be ended
def run(pid: int | None):
    if pid:
        os.kill(os.getpid(), signal.SIGKILL)
    process = multiprocessing.Process(target=linger)
    process.start()
    return process.pid
";
    let body = Body::new();
    let running = body.cell(text, "isolation: process").await;
    let pid = body.call("demo.cell", json!(null)).await.unwrap();
    body.log.has(&["demo.cell", "lingering"]).await;
    body.call("demo.cell", pid.clone()).await.unwrap_err();
    eventually("it has ended", LONG, async || !lives(&pid)).await;
    within(LONG, "the stop", running.stop()).await;
}

#[tokio::test]
async fn threads_below_a_call_know_it() {
    let text = "
import asyncio, logging, threading
from concurrent.futures import ThreadPoolExecutor
import cbs
shared = ThreadPoolExecutor(1)
class Mine(threading.Thread):
    def run(self):
        self.found = cbs.current().id
async def add(input: int) -> int:
    return input + 1
def here(found):
    logging.getLogger('me').info('here')
    found.append(cbs.current().id)
async def run(ctx, input: str):
    found = []
    mine, plain, timer = Mine(), threading.Thread(target=here, args=(found,)), threading.Timer(0, here, (found,))
    for thread in (mine, plain, timer):
        thread.start()
    for thread in (mine, plain, timer):
        await asyncio.to_thread(thread.join)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, here, found)
    await loop.run_in_executor(shared, here, found)
    await asyncio.to_thread(here, found)
    await loop.run_in_executor(shared, lambda: cbs.current().call_sync('demo.add', 1))
    return len(found) == 5 and {*found, mine.found} == {ctx.id}
";
    for fields in EVERYWHERE {
        let body = Body::new();
        body.file("add.py", "async def run(input: int) -> int:\n    return input + 1\n");
        let _add = body.start("demo.add", "add.py:run", "").await;
        let running = body.cell(text, fields).await;
        for _ in 0..2 {
            let answer =
                call_within(&*body.bus, "demo.cell", json!(""), Duration::from_secs(10)).await;
            assert_eq!(answer, Ok(json!(true)), "{fields}\n{}", body.log.text());
        }
        body.log.has(&["INFO", "demo.cell", "correlation_id=", "here"]).await;
        within(LONG, "the stop", running.stop()).await;
    }
}

#[tokio::test]
async fn whatever_is_written_to_the_streams_becomes_lines() {
    let text = r"
import io, os, subprocess, sys
def run(input):
    sys.stdout.reconfigure(encoding='utf-8', line_buffering=True)
    sys.stdout.buffer.write(b'bytes \xc3')
    sys.stdout.buffer.write(memoryview(b'\xa4 here\n'))
    sys.stderr.buffer.write(b'cut \xff')
    sys.stderr.buffer.flush()
    print('wrapped', file=io.TextIOWrapper(sys.stdout.buffer, write_through=True))
    subprocess.run(['sh', '-c', 'echo out; echo err >&2'], stdout=sys.stdout, stderr=sys.stderr)
    os.write(sys.stdout.fileno(), b'written\n')
    print('last', file=sys.__stdout__)
    return [sys.stdin.read(), sys.stdout.isatty()]
";
    for fields in EVERYWHERE {
        let body = Body::new();
        let running = body.cell(text, fields).await;
        assert_eq!(
            body.call("demo.cell", json!(null)).await,
            Ok(json!(["", false])),
            "{}",
            body.log.text()
        );
        for (stream, line) in [
            ("stdout", "bytes ä here"),
            ("stderr", "cut \u{fffd}"),
            ("stdout", "wrapped"),
            ("stdout", "out"),
            ("stderr", "err"),
            ("stdout", "written"),
            ("stdout", "last"),
        ] {
            body.log.has(&["INFO", "demo.cell", stream, line]).await;
        }
        within(LONG, "the stop", running.stop()).await;
    }
}

#[tokio::test]
async fn a_pipe_whose_reader_has_gone_first_is_closed() {
    let text = "
import os, sys
def run(input):
    sys.stdout.fileno()
    pipe = next(iter(sys.stdout._pipes.values()))
    # As where its reader has seen the end before it is woken.
    gone = object.__new__(type(pipe))
    reads, gone.writes = os.pipe()
    os.close(reads)
    before = os.fstat(gone.writes).st_ino
    gone.end()
    try:
        return os.fstat(gone.writes).st_ino != before
    except OSError:
        return True
";
    let body = Body::new();
    let running = body.cell(text, "").await;
    assert_eq!(body.call("demo.cell", json!(null)).await, Ok(json!(true)), "{}", body.log.text());
    within(LONG, "the stop", running.stop()).await;
}
