//! Handlers with unusual behavior.

use std::{sync::Arc, time::Duration};

use cbs::{BoxFuture, BusError, Code, Envelope, Handler, Kind, Outcome, Service};
use testkit::{NatsServer, eventually};
use tokio::sync::Notify;

use crate::support::{LONG, body, call, client, fault, request, serve, service};

/// A handler that panics before there is a future.
struct Rude;

impl Handler for Rude {
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        assert!(request.payload != "panic", "as it was told");
        Box::pin(async { Ok(Envelope::reply("well")) })
    }
}

#[tokio::test]
async fn one_that_panics_before_its_future_costs_its_caller_alone() {
    let server = NatsServer::start().await;
    let (nats, client) = (body(&server, "body-1").await, client(&server).await);
    let rude = Service {
        handler: Arc::new(Rude),
        ..service("demo.rude", |_| async { Ok(Envelope::reply("")) })
    };
    let _serving = serve(&nats, rude).await;
    let done = call(&client, request("demo.rude", "panic")).await;
    assert_eq!(fault(done), (Code::CellFailed, Outcome::Ran));
    assert_eq!(call(&client, request("demo.rude", "")).await.unwrap().payload, "well");
}

#[tokio::test]
async fn one_that_answers_with_its_request_gives_a_reply() {
    let server = NatsServer::start().await;
    let (nats, client) = (body(&server, "body-1").await, client(&server).await);
    let _serving = serve(&nats, service("demo.same", |request| async { Ok(request) })).await;
    let sent = Envelope { attempt: 2, ..request("demo.same", "hello") };
    let reply = call(&client, sent.clone()).await.unwrap();
    assert_eq!((reply.kind, reply.id, reply.payload), (Kind::Reply, sent.id, sent.payload));
    assert_eq!((reply.target, reply.timeout, reply.attempt), (None, None, 0));
}

#[tokio::test]
async fn one_whose_serving_was_dropped_is_sent_nothing_while_it_still_answers() {
    let server = NatsServer::start().await;
    let (nats, client) = (body(&server, "body-1").await, client(&server).await);
    let begun = Arc::new(Notify::new());
    let go = Arc::new(Notify::new());
    let began = begun.clone();
    let gone = go.clone();
    let slow = service("demo.slow", move |_| {
        let (began, gone) = (began.clone(), gone.clone());
        async move {
            began.notify_one();
            gone.notified().await;
            Ok(Envelope::reply("late"))
        }
    });
    let serving = serve(&nats, slow).await;
    let first = tokio::task::JoinSet::from_iter([{
        let client = client.clone();
        async move { call(&client, request("demo.slow", "")).await }
    }]);
    begun.notified().await;
    drop(serving);
    // A caller that calls now gets an error at once, because nothing is served, and does not wait.
    eventually("nobody serves it", LONG, async || {
        let short = Envelope { timeout: Some(Duration::from_secs(1)), ..request("demo.slow", "") };
        client.bus().call(short).await.is_err_and(|error| *error.code() == Code::NotFound)
    })
    .await;
    go.notify_waiters();
    go.notify_one();
    let first = first.join_all().await.remove(0).unwrap();
    assert_eq!(first.payload, "late");
}
