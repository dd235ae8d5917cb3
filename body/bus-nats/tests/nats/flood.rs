//! Many more calls than the capacity: each is answered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bus::{ConcurrencyLimit, ConcurrencySettings};
use bus_nats::Nats;
use cbs::{BusError, Code, Envelope, Service};
use futures::{StreamExt, stream::FuturesUnordered};
use testkit::{NatsServer, within};
use tokio::task::JoinSet;

use crate::support::{LONG, body, options, request, serve, service, target};

/// A cell that takes a second, 64 at once; 256 more may wait.
fn sleeper() -> Service {
    let limit = Arc::new(ConcurrencyLimit::new(ConcurrencySettings::default(), Arc::default()));
    service("slow.sleep", move |request| {
        let limit = limit.clone();
        async move {
            let timeout = request.timeout.unwrap_or_default();
            let Some(_permit) = limit.acquire(request.payload.len(), timeout).await else {
                return Err(BusError::overloaded(&target("slow.sleep")));
            };
            // sleep: the work that the handler does.
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Envelope::reply(request.payload))
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_calls_at_once_of_a_cell_that_takes_a_second_are_all_answered() {
    const CLIENTS: usize = 4;
    const CALLS: usize = 100_000;
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let _serving = serve(&nats, sleeper()).await;
    let started = Instant::now();
    let mut callers = JoinSet::new();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client =
            Nats::connect_client(options(&server, &format!("caller-{number}"))).await.unwrap();
        clients.push(client.clone());
        callers.spawn(async move {
            let bus = client.bus();
            let calls = FuturesUnordered::new();
            for _ in 0..CALLS / CLIENTS {
                calls.push(
                    bus.call(Envelope { timeout: Some(7 * LONG), ..request("slow.sleep", "{}") }),
                );
            }
            calls
                .fold([0usize; 3], |mut count, done| async move {
                    match done.as_ref().map_err(BusError::code) {
                        Ok(_) => count[0] += 1,
                        Err(Code::Overloaded) => count[1] += 1,
                        Err(_) => {
                            count[2] += 1;
                            println!("{done:?}");
                        }
                    }
                    count
                })
                .await
        });
    }
    let counts = within(8 * LONG, "all outcomes", callers.join_all()).await;
    let sum = |at: usize| counts.iter().map(|count| count[at]).sum::<usize>();
    let done = sum(0);
    let overloaded = sum(1);
    let wrong = sum(2);
    println!("{done} done, {overloaded} overloaded, {wrong} wrong in {:?}", started.elapsed());
    println!("{:?} {:?}", nats.counters(), clients.iter().map(Nats::counters).collect::<Vec<_>>());
    assert_eq!((done + overloaded, wrong), (CALLS, 0));
    assert!(done >= 64 + 256, "{done} done");
    for nats in clients.iter().chain([&nats]) {
        assert_eq!(nats.counters().slow_consumers, 0);
    }
}
