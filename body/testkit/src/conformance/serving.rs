//! BUS-4, BUS-6: which handler gets a call, and how serving ends.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cbs::{BodyBus, Envelope, Outcome, Serving, Uuid};
use tokio::{
    sync::Semaphore,
    task::{JoinSet, yield_now},
};

use super::{
    Stage,
    parts::{Answer, CELL, STEP, assert_nobody, call, echo, request, serve, serve_second, stop},
};
use crate::{eventually, within};

/// Number of callers that make a load.
const CALLERS: usize = 16;

/// **BUS-4**
pub async fn bus_4_exactly_one_of_several_is_handed_a_call(stage: Stage) {
    let handed: Arc<Mutex<HashMap<Uuid, usize>>> = Arc::default();
    let handler = || {
        let handed = handed.clone();
        move |request: Envelope| {
            *handed.lock().unwrap().entry(request.id).or_default() += 1;
            echo(request)
        }
    };
    let mut serving = vec![serve(&stage.callee(), CELL, handler()).await];
    let [_, second] = stage.pair();
    serving.extend(serve_second(&second, CELL, handler()).await);
    for server in stage.servers.iter().skip(2) {
        serving.push(serve(server, CELL, handler()).await);
    }
    let mut calls = JoinSet::new();
    let mut ids = Vec::new();
    for _ in 0..300 {
        let (caller, request) = (stage.caller.clone(), request(CELL, "{}"));
        ids.push(request.id);
        calls.spawn(async move { call(&caller, request).await });
    }
    for answer in calls.join_all().await {
        answer.expect("every call is answered");
    }
    let handed = handed.lock().unwrap();
    for id in ids {
        assert_eq!(handed.get(&id), Some(&1), "how often the call {id} was handed out");
    }
}

/// **BUS-6**
pub async fn bus_6_stop_answers_what_it_has(stage: Stage) {
    let gate = Arc::new(Semaphore::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let open = gate.clone();
    let count = running.clone();
    let serving = serve(&stage.callee(), CELL, move |request| {
        let (gate, running) = (gate.clone(), running.clone());
        async move {
            let _running = Running::new(running);
            let _open = gate.acquire().await.expect("the gate is never closed");
            echo(request).await
        }
    })
    .await;
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let caller = stage.caller.clone();
        calls.spawn(async move { call(&caller, request(CELL, "{}")).await });
    }
    eventually("ten calls run", STEP, async || count.load(Ordering::SeqCst) == 10).await;
    let mut stopping = JoinSet::new();
    stopping.spawn(serving.stop());
    // While it stops it takes no new calls …
    eventually("new calls find nobody", STEP, async || {
        let short = Envelope { timeout: Some(Duration::from_millis(500)), ..request(CELL, "{}") };
        matches!(call(&stage.caller, short).await, Err(error) if error.outcome() == Outcome::NotRun)
    })
    .await;
    let early = tokio::time::timeout(Duration::from_millis(100), stopping.join_next()).await;
    assert!(early.is_err(), "stop returned while calls run");
    // … and it returns when those it has are answered.
    open.add_permits(1_000);
    within(STEP, "the stop", stopping.join_next()).await;
    assert_eq!(count.load(Ordering::SeqCst), 0, "calls run after the stop");
    for answer in calls.join_all().await {
        answer.expect("a call that runs when its cell is stopped is answered");
    }
}

/// A call that runs until it is answered or dropped: a bus may drop it at its caller's deadline.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counters of a handler under load: calls that it got, calls that run, and calls that came after
/// its end.
#[derive(Default)]
struct Watch {
    handed: AtomicUsize,
    running: AtomicUsize,
    gone: AtomicBool,
    late: AtomicUsize,
}

impl Watch {
    async fn serve(self: &Arc<Self>, bus: &Arc<dyn BodyBus>) -> Option<Box<dyn Serving>> {
        let watch = self.clone();
        serve_second(bus, CELL, move |request| watch.clone().handle(request)).await
    }

    async fn handle(self: Arc<Self>, request: Envelope) -> Answer {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.gone.load(Ordering::SeqCst) {
            self.late.fetch_add(1, Ordering::SeqCst);
        }
        for _ in 0..self.handed.fetch_add(1, Ordering::SeqCst) % 5 {
            yield_now().await;
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        echo(request).await
    }

    /// Stops the serving, and checks that no call runs any more.
    async fn stop(&self, serving: Box<dyn Serving>) {
        stop(serving).await;
        self.gone.store(true, Ordering::SeqCst);
        assert_eq!(self.running.load(Ordering::SeqCst), 0, "calls run after the stop");
    }
}

/// Starts callers that call until the flag is set or a call fails. Each returns its failed answer,
/// if any.
fn load(caller: &Arc<dyn BodyBus>, enough: &Arc<AtomicBool>) -> JoinSet<Option<Answer>> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (caller, enough) = (caller.clone(), enough.clone());
        callers.spawn(async move {
            while !enough.load(Ordering::SeqCst) {
                match call(&caller, request(CELL, "{}")).await {
                    Ok(_) => yield_now().await,
                    failed => return Some(failed),
                }
            }
            None
        });
    }
    callers
}

/// **BUS-6**
pub async fn bus_6_stop_under_load_loses_no_call(stage: Stage) {
    for round in 0..stage.stops {
        let watch = Arc::new(Watch::default());
        let serving = watch.serve(&stage.callee()).await.expect("nobody else serves it");
        let mut callers = load(&stage.caller, &Arc::default());
        // Each round stops at another moment.
        let enough = 100 + round * 7 % 100;
        eventually("calls run", STEP, async || watch.handed.load(Ordering::SeqCst) > enough).await;
        watch.stop(serving).await;
        // A caller may only see that the target is not served any more.
        while let Some(ended) = within(STEP, "the end of the load", callers.join_next()).await {
            assert_nobody(&ended.expect("a caller").expect("a caller ends when nobody answers"));
        }
        assert_eq!(
            watch.late.load(Ordering::SeqCst),
            0,
            "calls handed out after the stop, round {round}"
        );
    }
}

/// **BUS-6**
pub async fn bus_6_stopping_one_of_two_costs_no_call(stage: Stage) {
    let [first, second] = stage.pair();
    let staying = Arc::new(Watch::default());
    let _staying = staying.serve(&second).await.expect("nobody else serves it");
    let enough = Arc::new(AtomicBool::new(false));
    let mut callers = load(&stage.caller, &enough);
    for round in 0..stage.stops {
        let leaving = Arc::new(Watch::default());
        // One bus may refuse to serve one target twice: then there is no second one to stop.
        let Some(serving) = leaving.serve(&first).await else { break };
        let seen = staying.handed.load(Ordering::SeqCst);
        let all =
            || leaving.handed.load(Ordering::SeqCst) + staying.handed.load(Ordering::SeqCst) - seen;
        eventually("calls run", STEP, async || all() > 100).await;
        leaving.stop(serving).await;
        assert_eq!(
            leaving.late.load(Ordering::SeqCst),
            0,
            "calls handed out after the stop, round {round}"
        );
    }
    enough.store(true, Ordering::SeqCst);
    while let Some(ended) = within(STEP, "the end of the load", callers.join_next()).await {
        assert_eq!(ended.expect("a caller"), None, "a call that did not reach the cell that stays");
    }
}

/// **BUS-6**
pub async fn bus_6_a_target_can_be_served_again(stage: Stage) {
    for round in 0..5 {
        let name = format!("round {round}");
        let reply = name.clone();
        let serving = serve(&stage.callee(), CELL, move |_| {
            let reply = Envelope::reply(reply.clone());
            async move { Ok(reply) }
        })
        .await;
        assert_eq!(
            call(&stage.caller, request(CELL, "{}")).await.expect("it is served").payload,
            name
        );
        stop(serving).await;
    }
}
