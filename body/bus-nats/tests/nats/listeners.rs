//! Subscribers that only listen, to `>` for example, and delay no caller.

use std::time::Instant;

use cbs::{Code, Outcome, Subscription};
use futures::StreamExt;
use testkit::{NatsServer, within};
use tokio::task::JoinSet;

use crate::support::{AT_ONCE, LONG, body, call, client, echo, fault, plain, request, serve, stop};

/// Kind of an additional subscriber.
#[derive(Clone, Copy, Debug)]
enum Listener {
    Nobody,
    Silent(&'static str),
    /// Answers every request.
    Answering,
}

/// Subscribes until the result is dropped. Reads all messages that come.
async fn listen(server: &NatsServer, listener: Listener) -> JoinSet<()> {
    let mut listening = JoinSet::new();
    let filter = match listener {
        Listener::Nobody => return listening,
        Listener::Silent(filter) => filter,
        Listener::Answering => ">",
    };
    let client = plain(server).await;
    let mut received = client.subscribe(filter).await.unwrap();
    client.publish("cbs.mark", "".into()).await.unwrap();
    within(LONG, "its own message", received.next()).await.unwrap();
    listening.spawn(async move {
        while let Some(message) = received.next().await {
            if let (Listener::Answering, Some(reply_to)) = (listener, message.reply) {
                let _ = client.publish(reply_to, "\"me too\"".into()).await;
            }
        }
    });
    listening
}

#[tokio::test]
async fn a_body_starts_serves_subscribes_and_stops_as_quickly_whoever_listens() {
    for listener in
        [Listener::Nobody, Listener::Silent("cbs.>"), Listener::Silent(">"), Listener::Answering]
    {
        let server = NatsServer::start().await;
        let _listening = listen(&server, listener).await;
        let started = Instant::now();
        let one = body(&server, "body-1").await;
        let two = body(&server, "body-2").await;
        let first = serve(&one, echo("demo.echo")).await;
        let second = serve(&two, echo("demo.echo")).await;
        stop(first).await;
        if !matches!(listener, Listener::Answering) {
            let client = client(&server).await;
            assert_eq!(call(&client, request("demo.echo", "1")).await.unwrap().payload, "1");
            let wanted = Subscription { filter: "order.>".parse().unwrap(), group: None };
            let _events =
                within(LONG, "a subscription", client.bus().subscribe(wanted)).await.unwrap();
            client.close().await;
        }
        stop(second).await;
        one.close().await;
        two.close().await;
        assert!(started.elapsed() < 3 * AT_ONCE, "{listener:?}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn with_a_listener_to_everything_a_call_that_nobody_serves_has_its_whole_time() {
    let server = NatsServer::start().await;
    let client = client(&server).await;
    assert_eq!(
        fault(call(&client, request("no.one", "1")).await),
        (Code::NotFound, Outcome::NotRun)
    );
    // The server counts the listener as a possible responder: a caller cannot see the difference.
    let _listening = listen(&server, Listener::Silent(">")).await;
    let asked = cbs::Envelope { timeout: Some(AT_ONCE), ..request("no.one", "1") };
    assert_eq!(fault(call(&client, asked).await), (Code::Timeout, Outcome::Unknown));
}
