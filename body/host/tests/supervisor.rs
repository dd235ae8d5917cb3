//! The supervision of a cell: ready, restarting, failed, stopped.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bus::InProcess;
use cbs::{
    BodyBus, BoxFuture, Cell, CellContext, CellEnv, CellError, Code, DynCell, Envelope, NativeCell,
};
use host::{Host, HostError, NativeHost, Restarts, Running, Started, State, Supervisor};
use model::{CellSpec, Phase};
use serde_json::json;
use support::{bus, call, cell_spec, env, specs, target};
use testkit::within;
use tokio::sync::{Semaphore, watch};

const LONG: Duration = Duration::from_secs(600);

/// A cell whose hooks behave as a test sets them, and count their runs.
#[derive(Clone, Default)]
struct Tracked {
    starts: Arc<AtomicUsize>,
    /// Number of first starts that fail.
    wrong: usize,
    how: How,
    stopped: Arc<AtomicUsize>,
    gate: Option<Arc<Semaphore>>,
}

#[derive(Clone, Copy, Default)]
enum How {
    #[default]
    Error,
    Panic,
    Hang,
}

impl Cell for Tracked {
    async fn call(&self, _: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        Ok(Envelope::reply(request.payload))
    }
    async fn start(&self, _: &CellEnv) -> Result<(), CellError> {
        if self.starts.fetch_add(1, Ordering::SeqCst) >= self.wrong {
            return Ok(());
        }
        match self.how {
            How::Error => Err(CellError::domain("demo.start", "no database")),
            How::Panic => panic!("no database"),
            How::Hang => std::future::pending().await,
        }
    }
    async fn stop(&self) {
        self.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

fn start(bus: &Arc<InProcess>, name: &str, cell: &Tracked) -> Running {
    let host = NativeHost::new([NativeCell::new(name, cell.clone())]).unwrap();
    let supervisor = Supervisor::new(vec![Arc::new(host)], Restarts::default());
    supervisor.start(cell_spec(name, ""), env(bus.clone(), name)).unwrap()
}

async fn phase(state: &mut watch::Receiver<State>, phase: Phase) -> State {
    within(LONG, &phase.to_string(), state.wait_for(|state| state.phase == phase))
        .await
        .unwrap()
        .clone()
}

#[tokio::test(start_paused = true)]
async fn a_cell_is_ready_when_calls_reach_it() {
    let (bus, cell) = (bus(), Tracked::default());
    let running = start(&bus, "demo.cell", &cell);
    running.ready(LONG).await.unwrap();
    assert_eq!(call(&*bus, "demo.cell", json!(1)).await, Ok(json!(1)));
    assert_eq!(*running.state().borrow(), State { phase: Phase::Ready, reason: None, restarts: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_start_that_goes_wrong_is_tried_again_with_backoff() {
    for how in [How::Error, How::Panic] {
        let (bus, cell) = (bus(), Tracked { wrong: 2, how, ..Tracked::default() });
        let running = start(&bus, "demo.cell", &cell);
        let mut state = running.state();
        let began = tokio::time::Instant::now();
        let waiting = phase(&mut state, Phase::Restarting).await;
        assert!(waiting.reason.is_some_and(|reason| reason.contains("no database")));
        assert_eq!(call(&*bus, "demo.cell", json!(1)).await.unwrap_err().code(), &Code::NotFound);
        assert_eq!(phase(&mut state, Phase::Ready).await.restarts, 2);
        assert_eq!(began.elapsed().as_millis() / 100, 3, "100 and 200 ms");
        assert_eq!(call(&*bus, "demo.cell", json!(1)).await, Ok(json!(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_hangs_is_ended_and_tried_again() {
    let (bus, cell) = (bus(), Tracked { wrong: 1, how: How::Hang, ..Tracked::default() });
    let running = start(&bus, "demo.cell", &cell);
    let mut state = running.state();
    let waiting = phase(&mut state, Phase::Restarting).await;
    assert!(waiting.reason.is_some_and(|reason| reason.contains("not started within 30 s")));
    phase(&mut state, Phase::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_ends_as_failed_and_touches_no_other_cell() {
    let bus = bus();
    let bad = Tracked { wrong: 7, ..Tracked::default() };
    let good = Tracked::default();
    let loops = start(&bus, "demo.bad", &bad);
    let lives = start(&bus, "demo.good", &good);
    lives.ready(LONG).await.unwrap();
    let failed = loops.ready(LONG).await.unwrap_err();
    assert_eq!(
        (failed.phase, failed.restarts, bad.starts.load(Ordering::SeqCst)),
        (Phase::Failed, 5, 6)
    );
    assert_eq!(call(&*bus, "demo.good", json!(1)).await, Ok(json!(1)));
    assert_eq!(
        (lives.state().borrow().phase, good.starts.load(Ordering::SeqCst)),
        (Phase::Ready, 1)
    );
    // It is tried again slowly: one more attempt fails, and the next succeeds.
    let began = tokio::time::Instant::now();
    phase(&mut loops.state(), Phase::Ready).await;
    assert_eq!(began.elapsed().as_secs(), 120);
    assert_eq!(call(&*bus, "demo.bad", json!(1)).await, Ok(json!(1)));
}

#[tokio::test(start_paused = true)]
async fn stopping_answers_what_runs_and_then_runs_the_stop_hook() {
    let gate = Arc::new(Semaphore::new(0));
    let (bus, cell) = (bus(), Tracked { gate: Some(gate.clone()), ..Tracked::default() });
    let running = start(&bus, "demo.cell", &cell);
    running.ready(LONG).await.unwrap();
    let mut state = running.state();
    let mut calls: Vec<_> =
        (0..10).map(|_| bus.call(Envelope::request(target("demo.cell"), "1"))).collect();
    for call in &mut calls {
        assert!(futures::poll!(call).is_pending());
    }
    let mut stopping = Box::pin(running.stop());
    assert!(futures::poll!(&mut stopping).is_pending());
    phase(&mut state, Phase::Draining).await;
    assert_eq!(call(&*bus, "demo.cell", json!(1)).await.unwrap_err().code(), &Code::NotFound);
    assert_eq!(cell.stopped.load(Ordering::SeqCst), 0, "the hook runs last");
    gate.add_permits(10);
    for call in calls {
        call.await.unwrap();
    }
    stopping.await;
    assert_eq!((state.borrow().phase, cell.stopped.load(Ordering::SeqCst)), (Phase::Stopped, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_is_being_restarted_can_be_stopped() {
    let (bus, cell) = (bus(), Tracked { wrong: usize::MAX, ..Tracked::default() });
    let running = start(&bus, "demo.cell", &cell);
    let mut state = running.state();
    phase(&mut state, Phase::Failed).await;
    within(Duration::from_millis(1), "the stop", running.stop()).await;
    assert_eq!((state.borrow().phase, cell.stopped.load(Ordering::SeqCst)), (Phase::Stopped, 0));
}

#[tokio::test(start_paused = true)]
async fn a_running_cell_that_is_dropped_is_gone() {
    let (bus, cell) = (bus(), Tracked::default());
    let running = start(&bus, "demo.cell", &cell);
    running.ready(LONG).await.unwrap();
    drop(running);
    testkit::eventually("it is gone", LONG, async || !bus.hosted(&target("demo.cell"))).await;
}

/// A host whose cells end when the test ends them, as processes do.
struct Processes {
    cell: Arc<dyn DynCell>,
    end: Mutex<Option<tokio::sync::oneshot::Receiver<String>>>,
}

impl Host for Processes {
    fn runtime(&self) -> &'static str {
        "rust"
    }
    fn check(&self, _: &CellSpec) -> Result<(), HostError> {
        Ok(())
    }
    fn start<'a>(
        &'a self,
        _: &'a CellSpec,
        _: &'a CellEnv,
    ) -> BoxFuture<'a, Result<Started, HostError>> {
        let end = self.end.lock().unwrap().take();
        let ended = async move {
            match end {
                Some(end) => end.await.unwrap(),
                None => std::future::pending().await,
            }
        };
        Box::pin(async {
            Ok(Started { ended: Box::pin(ended), ..Started::new(self.cell.clone()) })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_ends_by_itself_leaves_the_bus_until_it_is_back() {
    let bus = bus();
    let (kill, end) = tokio::sync::oneshot::channel();
    let cell = NativeCell::new("demo.cell", Tracked::default()).cell();
    let host = Processes { cell, end: Mutex::new(Some(end)) };
    let supervisor = Supervisor::new(vec![Arc::new(host)], Restarts::default());
    let running =
        supervisor.start(cell_spec("demo.cell", ""), env(bus.clone(), "demo.cell")).unwrap();
    running.ready(LONG).await.unwrap();
    kill.send("exit status 3".to_owned()).unwrap();
    let mut state = running.state();
    let waiting = within(LONG, "a reason", state.wait_for(|state| state.reason.is_some()))
        .await
        .unwrap()
        .clone();
    assert_eq!(
        (waiting.phase, waiting.reason.as_deref()),
        (Phase::Restarting, Some("exit status 3"))
    );
    assert!(!bus.hosted(&target("demo.cell")));
    assert_eq!(phase(&mut state, Phase::Ready).await.restarts, 1);
    assert_eq!(call(&*bus, "demo.cell", json!(1)).await, Ok(json!(1)));
}

#[tokio::test]
async fn a_runtime_that_nobody_hosts_is_said() {
    let supervisor =
        Supervisor::new(vec![Arc::new(NativeHost::new([]).unwrap())], Restarts::default());
    let specs = specs(
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.cell }\n\
         spec: { runtime: exec, command: [\"true\"] }\n",
    );
    let error = supervisor.check(specs.cells().next().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "`demo.cell` needs the runtime `exec`, this body has rust");
}
