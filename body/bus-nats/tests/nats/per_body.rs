//! Calls to the cells of one body without the queue group, and calls to the cells of all others.

use std::time::Instant;

use cbs::{Code, Envelope, Outcome};
use futures::StreamExt;
use testkit::{NatsServer, within};

use crate::support::{
    AT_ONCE, LONG, body, call, client, echo, fault, plain, request, serve, settle, stop,
};

#[tokio::test]
async fn a_call_to_one_body_reaches_that_body_alone() {
    let server = NatsServer::start().await;
    let one = body(&server, "body-1").await;
    let two = body(&server, "body-2").await;
    let _serving = (serve(&one, echo("demo.echo")).await, serve(&two, echo("demo.echo")).await);
    let client = client(&server).await;
    for id in ["body-1", "body-2"] {
        let bus = client.in_body(id.parse().unwrap());
        for _ in 0..20 {
            let reply = within(LONG, "a reply", bus.call(request("demo.echo", "1"))).await.unwrap();
            assert_eq!(reply.source.body, id);
        }
    }
}

#[tokio::test]
async fn what_a_body_does_not_serve_or_no_longer_serves_is_not_found_there() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let serving = serve(&body, echo("demo.echo")).await;
    let client = client(&server).await;
    let here = client.in_body("body-1".parse().unwrap());
    let gone = client.in_body("body-9".parse().unwrap());
    let started = Instant::now();
    for (bus, name) in [(&here, "demo.other"), (&gone, "demo.echo")] {
        let done = within(LONG, "an outcome", bus.call(request(name, "1"))).await;
        assert_eq!(fault(done), (Code::NotFound, Outcome::NotRun), "{name}");
    }
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    stop(serving).await;
    let done = within(LONG, "an outcome", here.call(request("demo.echo", "1"))).await;
    assert_eq!(fault(done), (Code::NotFound, Outcome::NotRun));
}

#[tokio::test]
async fn a_subject_of_one_body_that_names_no_cell_is_answered_too() {
    let server = NatsServer::start().await;
    let _body = body(&server, "body-1").await;
    let plain = plain(&server).await;
    for name in ["NO.PE", "x.é"] {
        let asked = plain.request(format!("cbs.default.body.body-1.cell.{name}"), "1".into());
        let reply = within(LONG, "a reply", asked).await.unwrap();
        assert_eq!(
            reply.headers.unwrap().get("Nats-Service-Error-Code").unwrap().as_str(),
            "404",
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_frame_that_is_no_reply_is_none() {
    let server = NatsServer::start().await;
    let (plain, client) = (plain(&server).await, client(&server).await);
    let mut requests = plain.subscribe("cbs.default.cell.demo.odd").await.unwrap();
    settle(&plain).await;
    let call = async { client.bus().call(request("demo.odd", "1")).await };
    let answer = async {
        let request = requests.next().await.unwrap();
        // Its own request, as it came.
        plain.publish(request.reply.unwrap(), request.payload).await.unwrap();
    };
    let (done, ()) = within(LONG, "an outcome", async { tokio::join!(call, answer) }).await;
    assert_eq!(*done.unwrap_err().code(), Code::Internal);
}

#[tokio::test]
async fn a_flow_or_a_topic_cannot_be_called_in_one_body() {
    let server = NatsServer::start().await;
    let client = client(&server).await;
    let bus = client.in_body("body-1".parse().unwrap());
    for name in ["flow greeting", "topic order.created"] {
        assert_eq!(
            fault(bus.call(request(name, "1")).await),
            (Code::BadRequest, Outcome::NotRun),
            "{name}"
        );
    }
    assert_eq!(fault(bus.call(Envelope::default()).await), (Code::BadRequest, Outcome::NotRun));
}

#[tokio::test]
async fn overflow_goes_to_the_other_bodies_and_never_comes_back() {
    let server = NatsServer::start().await;
    let one = body(&server, "body-1").await;
    let _serving = serve(&one, echo("demo.echo")).await;
    let done = within(LONG, "an outcome", one.other_bodies().call(request("demo.echo", "1"))).await;
    assert_eq!(fault(done), (Code::NotFound, Outcome::NotRun));
    // The same call on the usual route comes back to this body, over NATS.
    assert_eq!(call(&one, request("demo.echo", "1")).await.unwrap().source.body, "body-1");

    let two = body(&server, "body-2").await;
    let _serving_too = serve(&two, echo("demo.echo")).await;
    for _ in 0..20 {
        let reply = within(LONG, "a reply", one.other_bodies().call(request("demo.echo", "1")))
            .await
            .unwrap();
        assert_eq!(reply.source.body, "body-2");
    }
}
