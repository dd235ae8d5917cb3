//! Stopping without loss.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bus_nats::Nats;
use cbs::{BusError, Code, Envelope, Outcome, Service};
use testkit::{NatsServer, eventually, within};
use tokio::task::JoinSet;

use crate::support::{
    LONG, body, call, client, fault, options, plain, request, serve, service, stop,
};

/// A cell that counts its runs, and yields for a moment in each.
fn counting(runs: &Arc<AtomicU64>) -> Service {
    let runs = runs.clone();
    service("load.echo", move |request| {
        runs.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::task::yield_now().await;
            Ok(Envelope::reply(request.payload))
        }
    })
}

/// Callers that call again after each answer, until they are stopped.
struct Load {
    done: Arc<AtomicU64>,
    wrong: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Load {
    async fn start(server: &NatsServer) -> Self {
        let mut load = Self {
            done: Arc::default(),
            wrong: Arc::default(),
            over: Arc::default(),
            callers: JoinSet::new(),
        };
        for number in 0..2 {
            let options = options(server, &format!("caller-{number}"));
            let nats = within(LONG, "a caller", Nats::connect_client(options)).await.unwrap();
            for _ in 0..12 {
                let bus = nats.bus();
                load.pump(move |payload| {
                    let bus = bus.clone();
                    async move {
                        let reply = bus.call(request("load.echo", payload)).await;
                        reply.map(|reply| reply.payload).map_err(|error| format!("{error:?}"))
                    }
                });
            }
        }
        let plain = plain(server).await;
        for _ in 0..8 {
            let plain = plain.clone();
            load.pump(move |payload| {
                let plain = plain.clone();
                async move {
                    let reply = plain.request("cbs.default.cell.load.echo", payload).await;
                    reply.map(|reply| reply.payload).map_err(|error| format!("plain: {error}"))
                }
            });
        }
        load
    }

    fn pump<F>(&mut self, ask: impl Fn(cbs::Bytes) -> F + Send + 'static)
    where
        F: Future<Output = Result<cbs::Bytes, String>> + Send,
    {
        let done = self.done.clone();
        let wrong = self.wrong.clone();
        let over = self.over.clone();
        let caller = self.callers.len();
        self.callers.spawn(async move {
            let mut number = 0u64;
            while !over.load(Ordering::Relaxed) {
                let payload = cbs::Bytes::from(format!("[{caller},{number}]"));
                match ask(payload.clone()).await {
                    Ok(reply) if reply == payload => {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(reply) => wrong
                        .lock()
                        .unwrap()
                        .push(format!("{payload:?} was answered with {reply:?}")),
                    Err(error) => wrong.lock().unwrap().push(error),
                }
                number += 1;
            }
        });
    }

    /// Waits until this number of more calls has been answered: the load has begun.
    async fn more(&self, calls: u64) {
        let before = self.done.load(Ordering::Relaxed);
        eventually("the load goes on", LONG, async || {
            self.done.load(Ordering::Relaxed) >= before + calls
        })
        .await;
    }

    async fn end(mut self) -> (u64, Vec<String>) {
        self.over.store(true, Ordering::Relaxed);
        within(LONG, "the callers' last answers", async {
            while self.callers.join_next().await.is_some() {}
        })
        .await;
        (self.done.load(Ordering::Relaxed), std::mem::take(&mut *self.wrong.lock().unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_stops_under_load_lose_no_request() {
    let server = NatsServer::start().await;
    let one = body(&server, "body-1").await;
    let two = body(&server, "body-2").await;
    let runs = Arc::new(AtomicU64::new(0));
    let _kept = serve(&one, counting(&runs)).await;
    let load = Load::start(&server).await;
    for _ in 0..200 {
        let serving = serve(&two, counting(&runs)).await;
        load.more(20).await;
        stop(serving).await;
    }
    let (done, wrong) = load.end().await;
    assert_eq!(wrong, Vec::<String>::new(), "of {done} calls");
    assert_eq!(runs.load(Ordering::Relaxed), done, "each call ran once");
    assert_eq!((one.counters().slow_consumers, two.counters().slow_consumers), (0, 0));
}

/// Calls a slow cell many times, stops it while the calls run, and returns the result of each.
async fn stop_in_flight(
    server: &NatsServer,
    drop_it: bool,
) -> (Vec<Result<Envelope, BusError>>, u64) {
    const CALLS: usize = 1_000;
    let nats = body(server, "body-1").await;
    let runs = Arc::new(AtomicU64::new(0));
    let count = runs.clone();
    let slow = service("slow.echo", move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            // sleep: the work that the handler does.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(Envelope::reply(request.payload))
        }
    });
    let serving = serve(&nats, slow).await;
    let client = client(server).await;
    let mut calls = JoinSet::new();
    // Waits for the calls that a drop loses.
    let timeout = Some(if drop_it { Duration::from_secs(5) } else { LONG });
    for number in 0..CALLS {
        let client = client.clone();
        let asked = Envelope { timeout, ..request("slow.echo", number.to_string()) };
        calls.spawn(async move { client.bus().call(asked).await });
    }
    eventually("some calls run", LONG, async || runs.load(Ordering::Relaxed) >= 100).await;
    if drop_it {
        drop(serving);
    } else {
        stop(serving).await;
    }
    let ran = runs.load(Ordering::Relaxed);
    let outcomes = within(LONG, "all outcomes", calls.join_all()).await;
    if !drop_it {
        assert_eq!(runs.load(Ordering::Relaxed), ran, "nothing is handed to a stopped cell");
    }
    assert_eq!(
        fault(call(&client, request("slow.echo", "1")).await),
        (Code::NotFound, Outcome::NotRun)
    );
    (outcomes, ran)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_the_last_one_answers_all_that_it_has_and_the_rest_is_told_that_nobody_is_there() {
    let server = NatsServer::start().await;
    let (outcomes, ran) = stop_in_flight(&server, false).await;
    let answered = outcomes.iter().filter(|done| done.is_ok()).count();
    for error in outcomes.iter().filter_map(|done| done.as_ref().err()) {
        assert_eq!((error.code(), error.outcome()), (&Code::NotFound, Outcome::NotRun), "{error}");
    }
    assert_eq!(u64::try_from(answered).unwrap(), ran, "all that ran were answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_ends_serving_at_once_and_still_answers_what_runs() {
    let server = NatsServer::start().await;
    let (outcomes, _) = stop_in_flight(&server, true).await;
    // Calls on the way to the dropped one are lost, and their callers wait for their timeout: a
    // drop is no stop.
    assert!(outcomes.iter().filter(|done| done.is_ok()).count() >= 100);
}

#[tokio::test]
async fn a_direct_call_that_runs_is_answered_before_the_stop_returns() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let entered = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicBool::new(false));
    let enter = entered.clone();
    let end = done.clone();
    let slow = service("slow.echo", move |request| {
        let (enter, end) = (enter.clone(), end.clone());
        async move {
            enter.store(true, Ordering::Relaxed);
            // sleep: the work that the handler does.
            tokio::time::sleep(Duration::from_millis(100)).await;
            end.store(true, Ordering::Relaxed);
            Ok(Envelope::reply(request.payload))
        }
    });
    let serving = serve(&nats, slow).await;
    let bus = client(&server).await.in_body("body-1".parse().unwrap());
    let mut calls = JoinSet::new();
    calls.spawn(async move { bus.call(request("slow.echo", "1")).await });
    eventually("the call runs", LONG, async || entered.load(Ordering::Relaxed)).await;
    stop(serving).await;
    assert!(done.load(Ordering::Relaxed));
    let reply = within(LONG, "the reply", calls.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(reply.payload, "1");
}

#[tokio::test]
async fn a_handler_that_panics_costs_its_caller_an_error_and_nobody_else() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let cell = service("demo.moody", |request| async move {
        assert!(request.payload != "panic", "as asked");
        Ok(Envelope::reply(request.payload))
    });
    let serving = serve(&nats, cell).await;
    let client = client(&server).await;
    let asked = request("demo.moody", "panic");
    let error = call(&client, asked.clone()).await.unwrap_err();
    assert_eq!(*error.code(), Code::CellFailed);
    assert!(
        error.error().message.contains(&asked.id.to_string())
            && !error.error().message.contains("as asked")
    );
    assert_eq!(call(&client, request("demo.moody", "1")).await.unwrap().payload, "1");
    stop(serving).await;
}
