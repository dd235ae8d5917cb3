//! Work that is started and given up, fails again and again, or never ends: it is bounded, and
//! nothing of it remains.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use cbs::{Code, Outcome};
use futures::future::join_all;
use serde_json::json;
use support::{Body, LONG, call_within};
use testkit::eventually;

/// Returns the number of threads of this process whose names begin so.
fn threads(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.starts_with(name)).count()
}

#[tokio::test]
async fn a_lane_whose_start_hook_never_ends_goes_when_it_is_given_up() {
    let body = Body::new();
    body.file(
        "cell.py",
        "import asyncio, cbs; wait = asyncio.sleep\n@cbs.start\nasync def open():\n    print('opening')\n    await wait(1e6)\nasync def run(input):\n    pass\n",
    );
    // Named as no other cell of these tests: they may run in one process.
    let running = body.begin(&body.spec("slow.cell", "cell.py:run", ""));
    body.log.has(&["opening"]).await;
    assert_eq!(threads("py0 slow.cell"), 1);
    drop(running);
    eventually("its thread has ended", LONG, async || threads("py0 slow.cell") == 0).await;
}

#[tokio::test]
async fn a_further_lane_that_cannot_be_started_is_not_tried_all_the_time() {
    let body = Body::new();
    let text = "
import cbs, pathlib, time; block = time.sleep
@cbs.start
def open():
    mark = pathlib.Path(__file__).with_name('mark')
    if mark.exists():
        raise cbs.CellError('demo.only', 'there can be one')
    mark.touch()
async def run(input: float):
    block(input)
";
    let _running = body.cell(text, "workers: { min: 1, max: 2 }").await;
    let calls = (0..4).map(|_| call_within(&*body.bus, "demo.cell", json!(0.4), LONG));
    let answers = join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    body.log.has(&["a further lane could not be started", "there can be one"]).await;
    assert_eq!(
        body.log.text().matches("a further lane could not be started").count(),
        1,
        "{}",
        body.log.text()
    );
}

#[tokio::test]
async fn calls_that_swallow_their_cancellation_do_not_pile_up() {
    let body = Body::new();
    let text = "
import asyncio; wait = asyncio.sleep
async def run(input):
    while True:
        try:
            await wait(60)
        except asyncio.CancelledError:
            pass
";
    let running = body.cell(text, "concurrency: 2").await;
    let call = async || {
        call_within(&*body.bus, "demo.cell", json!(1), Duration::from_millis(50)).await.unwrap_err()
    };
    for _ in 0..8 {
        assert_eq!(call().await.code(), &Code::Timeout);
    }
    // As many calls as four times its concurrency continue to run after their callers have given
    // up.
    let refused = call().await;
    assert_eq!((refused.code(), refused.outcome()), (&Code::Overloaded, Outcome::NotRun));
    running.stop().await;
}

#[tokio::test]
async fn the_stop_hooks_of_many_lanes_run_side_by_side() {
    let body = Body::new();
    let text = "
import asyncio, cbs; wait = asyncio.sleep
@cbs.stop
async def close():
    await wait(0.5)
    print('closed')
async def run(input):
    pass
";
    let running = body.cell(text, "workers: 40").await;
    let began = Instant::now();
    running.stop().await;
    // One after the other they would take 20 s.
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(body.log.text().matches("closed").count(), 40);
}
