//! Messages that are too large: they are refused before they are sent, with a clear error.

use bus_nats::server::Settings;
use cbs::{CellError, Code, Envelope, Outcome};
use testkit::{NatsServer, within};

use crate::support::{LONG, body, call, client, echo, fault, plain, request, serve, service};

const LIMIT: usize = 16 * 1024;

async fn small_server() -> NatsServer {
    NatsServer::with_settings(Settings { max_payload: LIMIT, ..Settings::default() }).await
}

#[tokio::test]
async fn a_request_or_an_event_over_the_servers_limit_is_too_large_and_the_connection_lives() {
    let server = small_server().await;
    let body = body(&server, "body-1").await;
    let _serving = serve(&body, echo("demo.echo")).await;
    let client = client(&server).await;
    assert_eq!(client.server().max_payload, LIMIT);
    let done = call(&client, request("demo.echo", vec![b' '; LIMIT])).await;
    assert_eq!(fault(done), (Code::TooLarge, Outcome::NotRun));
    let event = Envelope::event("order.created".parse().unwrap(), vec![b' '; LIMIT - 20]);
    let error = client.bus().publish(event).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::TooLarge, Outcome::NotRun));
    // Just below the limit everything passes, on the same connections.
    let payload = vec![b' '; LIMIT - 256];
    assert_eq!(
        call(&client, request("demo.echo", payload.clone())).await.unwrap().payload,
        payload
    );
    let event = Envelope::event("order.created".parse().unwrap(), vec![b' '; LIMIT - 1024]);
    client.bus().publish(event).await.unwrap();
    assert_eq!((client.counters().reconnects, body.counters().reconnects), (0, 0));
}

#[tokio::test]
async fn a_reply_over_the_servers_limit_becomes_an_error_in_both_forms() {
    let server = small_server().await;
    let body = body(&server, "body-1").await;
    let _serving =
        serve(&body, service("demo.big", |_| async { Ok(Envelope::reply(vec![b' '; LIMIT + 1])) }))
            .await;
    let done = call(&client(&server).await, request("demo.big", "{}")).await;
    assert_eq!(fault(done), (Code::TooLarge, Outcome::Ran));
    let asked = plain(&server).await;
    let reply =
        within(LONG, "a plain reply", asked.request("cbs.default.cell.demo.big", "{}".into()))
            .await
            .unwrap();
    let headers = reply.headers.unwrap();
    assert_eq!(headers.get("Nats-Service-Error-Code").unwrap().as_str(), "413");
    assert_eq!(body.counters().reconnects, 0);
}

#[tokio::test]
async fn an_error_that_is_longer_than_a_frames_header_reaches_its_caller_cut() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let _serving = serve(
        &body,
        service("demo.talk", |_| async {
            let message = "é".repeat(100_000);
            let details = serde_json::json!({ "all": message });
            Err(CellError::domain("demo.talkative", message)
                .retryable()
                .with_details(details)
                .into())
        }),
    )
    .await;
    let error = call(&client(&server).await, request("demo.talk", "{}")).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.outcome()), ("demo.talkative", Outcome::Ran));
    assert!(error.error().retryable && error.error().message.starts_with("ééé"));
}

#[tokio::test]
async fn a_call_without_time_or_with_endless_time_ends() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let _serving = serve(&body, echo("demo.echo")).await;
    let client = client(&server).await;
    let endless = Envelope { timeout: Some(std::time::Duration::MAX), ..request("demo.echo", "1") };
    assert_eq!(call(&client, endless).await.unwrap().payload, "1");
    let none = Envelope { timeout: Some(std::time::Duration::ZERO), ..request("demo.echo", "1") };
    assert_eq!(*call(&client, none).await.unwrap_err().code(), Code::Timeout);
}
