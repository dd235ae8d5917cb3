//! Faults of the server: it is gone, frozen, or back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bus_nats::{LinkState, Nats, Options};
use cbs::{Code, Delivery, Envelope, Outcome, Subscription};
use testkit::{NatsServer, eventually, within};
use tokio::task::JoinSet;

use crate::support::{
    AT_ONCE, LONG, body, call, client, counting, echo, fault, framed_error, options, plain,
    request, serve, service, until,
};

#[tokio::test]
async fn with_the_server_killed_calls_fail_at_once_and_all_resumes_by_itself() {
    let mut server = NatsServer::start().await;
    let (nats, client) = (body(&server, "body-1").await, client(&server).await);
    let _serving = serve(&nats, echo("demo.echo")).await;
    let filter = "order.>".parse().unwrap();
    let mut events = nats.bus().subscribe(Subscription { filter, group: None }).await.unwrap();
    assert_eq!(*nats.link().borrow(), LinkState::Up);
    server.kill().await;
    until(&nats, LinkState::Down).await;
    until(&client, LinkState::Down).await;

    // `Down` is reported when the first of its connections is lost: a call may still be sent on the
    // other.
    for nats in [&nats, &client] {
        eventually("calls that are not sent", LONG, async || {
            fault(call(nats, request("demo.echo", "1")).await)
                == (Code::Unavailable, Outcome::NotRun)
        })
        .await;
    }
    let started = Instant::now();
    for nats in [&nats, &client] {
        let done = call(nats, request("demo.echo", "1")).await;
        assert_eq!(fault(done), (Code::Unavailable, Outcome::NotRun));
        let event = Envelope::event("order.created".parse().unwrap(), "1");
        assert_eq!(*nats.bus().publish(event).await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(*nats.discover(LONG).await.unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(*nats.bus().serve(echo("demo.more")).await.err().unwrap().code(), Code::Unavailable);
    let subscribed =
        nats.bus().subscribe(Subscription { filter: "a".parse().unwrap(), group: None }).await;
    assert_eq!(*subscribed.err().unwrap().code(), Code::Unavailable);
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());

    server.restart().await;
    until(&nats, LinkState::Up).await;
    until(&client, LinkState::Up).await;
    eventually("calls work again", LONG, async || {
        client.bus().call(request("demo.echo", "1")).await.is_ok_and(|reply| reply.payload == "1")
    })
    .await;
    client.bus().publish(Envelope::event("order.created".parse().unwrap(), "back")).await.unwrap();
    let received = within(LONG, "an event", events.next()).await;
    let Some(Delivery::Event(event)) = received else { panic!("{received:?}") };
    assert_eq!(event.payload, "back");
    let found = within(LONG, "discovery", client.discover(LONG)).await.unwrap();
    assert_eq!(
        found.iter().map(|endpoint| endpoint.connections.reconnects).collect::<Vec<_>>(),
        [2]
    );
    assert_eq!((nats.counters().reconnects, client.counters().reconnects), (2, 1));
}

#[tokio::test]
async fn a_call_under_way_when_the_server_dies_fails_at_once_with_an_unknown_outcome() {
    let mut server = NatsServer::start().await;
    let (nats, client) = (body(&server, "body-1").await, client(&server).await);
    let runs = Arc::new(AtomicU64::new(0));
    let count = runs.clone();
    let _serving = serve(
        &nats,
        service("slow.never", move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::pending()
        }),
    )
    .await;
    let mut calls = JoinSet::new();
    let caller = client.clone();
    calls.spawn(async move { caller.bus().call(request("slow.never", "1")).await });
    eventually("the call runs", LONG, async || runs.load(Ordering::Relaxed) == 1).await;
    server.kill().await;
    let started = Instant::now();
    let done = within(LONG, "the outcome", calls.join_next()).await.unwrap().unwrap();
    assert_eq!(fault(done), (Code::Unavailable, Outcome::Unknown));
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_was_called_while_the_server_was_gone_is_never_run_later() {
    let mut server = NatsServer::start().await;
    let (nats, client) = (body(&server, "body-1").await, client(&server).await);
    let runs = Arc::new(AtomicU64::new(0));
    let _serving = serve(&nats, counting("demo.count", &runs)).await;
    server.kill().await;
    until(&client, LinkState::Down).await;
    for _ in 0..100 {
        assert_eq!(
            fault(call(&client, request("demo.count", "1")).await),
            (Code::Unavailable, Outcome::NotRun)
        );
    }
    server.restart().await;
    until(&nats, LinkState::Up).await;
    until(&client, LinkState::Up).await;
    let _marked = serve(&nats, echo("demo.mark")).await;
    call(&client, request("demo.mark", "1")).await.unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 0);
    call(&client, request("demo.count", "1")).await.unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_request_whose_caller_gave_up_long_ago_is_refused_and_counted() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let runs = Arc::new(AtomicU64::new(0));
    let _serving = serve(&nats, counting("demo.count", &runs)).await;
    let plain = plain(&server).await;
    let sent = async |age_ms: u64| {
        let timeout = Some(Duration::from_secs(1));
        let old = Envelope {
            time_ms: cbs::now_ms() - age_ms,
            timeout,
            ..Envelope::request("demo.count".parse().unwrap(), "")
        };
        let asked = plain.request("cbs.default.cell.demo.count", cbs::frame::encode(&old));
        within(LONG, "a reply", asked).await.unwrap()
    };
    let reply = sent(7_000).await;
    let error = framed_error(&reply);
    assert_eq!(error.code, Code::Timeout);
    assert!(error.message.contains("stale"), "{error}");
    assert_eq!((runs.load(Ordering::Relaxed), nats.counters().stale), (0, 1));
    // Clocks differ: a request that is slightly late runs.
    sent(2_000).await;
    assert_eq!((runs.load(Ordering::Relaxed), nats.counters().stale), (1, 1));
}

#[tokio::test]
async fn with_the_server_frozen_a_call_times_out_in_time_and_works_again_later() {
    let server = NatsServer::start().await;
    let (nats, client) = (body(&server, "body-1").await, client(&server).await);
    let _serving = serve(&nats, echo("demo.echo")).await;
    server.pause();
    let timeout = Duration::from_millis(400);
    let started = Instant::now();
    let done =
        call(&client, Envelope { timeout: Some(timeout), ..request("demo.echo", "1") }).await;
    let took = started.elapsed();
    server.resume();
    assert_eq!(fault(done), (Code::Timeout, Outcome::Unknown));
    assert!((timeout..timeout + AT_ONCE).contains(&took), "{took:?}");
    assert_eq!(call(&client, request("demo.echo", "1")).await.unwrap().payload, "1");
}

#[tokio::test]
async fn a_frozen_server_is_noticed_by_pings_and_then_calls_fail_at_once() {
    let server = NatsServer::start().await;
    let quick =
        Options { ping_interval: Duration::from_millis(100), ..options(&server, "client-1") };
    let client = Nats::connect_client(quick).await.unwrap();
    let nats = body(&server, "body-1").await;
    let _serving = serve(&nats, echo("demo.echo")).await;
    server.pause();
    until(&client, LinkState::Down).await;
    let started = Instant::now();
    let done = call(&client, request("demo.echo", "1")).await;
    let took = started.elapsed();
    server.resume();
    assert_eq!(fault(done), (Code::Unavailable, Outcome::NotRun));
    assert!(took < AT_ONCE, "{took:?}");
    // On a busy machine this short time may pass between pings: the connection may be lost once
    // more.
    eventually("calls work again", LONG, async || {
        call(&client, request("demo.echo", "1")).await.is_ok_and(|reply| reply.payload == "1")
    })
    .await;
}

#[tokio::test]
async fn a_target_that_nobody_serves_is_told_long_before_the_deadline() {
    let server = NatsServer::start().await;
    let client = client(&server).await;
    let unknown = async |name: &str| {
        let started = Instant::now();
        let done = call(&client, request(name, "1")).await;
        assert!(started.elapsed() < AT_ONCE, "{name}: {:?}", started.elapsed());
        fault(done)
    };
    assert_eq!(unknown("nobody.home").await, (Code::NotFound, Outcome::NotRun));
    client.declare(["nobody.home".parse().unwrap(), "flow later".parse().unwrap()]);
    assert_eq!(unknown("nobody.home").await, (Code::Unavailable, Outcome::NotRun));
    assert_eq!(unknown("flow later").await, (Code::Unavailable, Outcome::NotRun));
    assert_eq!(unknown("nobody.else").await, (Code::NotFound, Outcome::NotRun));
    // A body that comes within the retries is still reached. On a busy machine one may come too
    // late, and the next does not.
    let nats = body(&server, "body-1").await;
    let bus = nats.bus();
    let mut tried = 0;
    eventually("one that comes late is reached", LONG, async || {
        tried += 1;
        let name = format!("late.cell-{tried}");
        client.declare([name.parse().unwrap()]);
        let (done, _serving) =
            tokio::join!(call(&client, request(&name, "1")), bus.serve(echo(&name)));
        done.is_ok_and(|reply| reply.payload == "1")
    })
    .await;
}

#[tokio::test]
async fn right_after_an_outage_whoever_is_not_back_yet_is_unavailable() {
    let mut server = NatsServer::start().await;
    let client = client(&server).await;
    // For a moment: on a busy machine the first one may have passed.
    eventually("who is not back yet is unavailable", LONG, async || {
        let before = client.counters().reconnects;
        server.restart().await;
        eventually("it was noticed", LONG, async || client.counters().reconnects > before).await;
        until(&client, LinkState::Up).await;
        fault(call(&client, request("demo.echo", "1")).await)
            == (Code::Unavailable, Outcome::NotRun)
    })
    .await;
    eventually("it is not found in the end", LONG, async || {
        fault(call(&client, request("demo.echo", "1")).await).0 == Code::NotFound
    })
    .await;
}

#[tokio::test]
async fn two_clients_of_one_name_get_their_own_replies() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let _serving = serve(&nats, echo("demo.echo")).await;
    let one = client(&server).await;
    let two = client(&server).await;
    for number in 0..50 {
        let asked = format!("one {number}");
        let also = format!("two {number}");
        let (first, second) = tokio::join!(
            call(&one, request("demo.echo", asked.clone())),
            call(&two, request("demo.echo", also.clone()))
        );
        assert_eq!((first.unwrap().payload, second.unwrap().payload), (asked.into(), also.into()));
    }
}
