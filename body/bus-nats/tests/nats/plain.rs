//! Any NATS client can be a caller, and any NATS service can be called.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_nats::{Client, HeaderMap, Message};
use cbs::{Code, Envelope, Outcome, Transport};
use futures::StreamExt;
use serde_json::{Value, json};
use testkit::{NatsServer, eventually, within};

use crate::support::{
    LONG, body, call, client, echo, fault, framed_error, greet, plain, request, serve, service,
    settle,
};

const GREET: &str = "cbs.default.cell.logic.greet";

async fn ask(client: &Client, subject: &str, payload: impl Into<cbs::Bytes>) -> Message {
    let asked = client.request(subject.to_owned(), payload.into());
    within(LONG, "a plain reply", asked).await.unwrap()
}

async fn ask_with(
    client: &Client,
    subject: &str,
    headers: &[(&str, &str)],
    payload: &'static [u8],
) -> Message {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    let asked = client.request_with_headers(subject.to_owned(), map, payload.into());
    within(LONG, "a plain reply", asked).await.unwrap()
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    Some(message.headers.as_ref()?.get(name)?.as_str())
}

/// Returns the number, the line and the JSON of an error to a plain caller.
fn bare_error(message: &Message) -> (&str, &str, Value) {
    let code = header(message, "Nats-Service-Error-Code").unwrap();
    let line = header(message, "Nats-Service-Error").unwrap();
    (code, line, serde_json::from_slice(&message.payload).unwrap())
}

#[tokio::test]
async fn a_plain_client_sends_json_and_gets_json_back() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let _serving = serve(&body, greet()).await;
    let reply = ask(&plain(&server).await, GREET, r#"{"name":"Ada"}"#).await;
    assert_eq!(reply.payload, r#"{"text":"Hello, Ada!"}"#);
    assert!(reply.headers.is_none(), "{:?}", reply.headers);
}

#[tokio::test]
async fn a_plain_client_with_bad_input_gets_the_error_headers_and_the_error_as_json() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let _serving = serve(&body, greet()).await;
    let plain = plain(&server).await;
    for wrong in [r#"{"nam":1}"#, r#"{"name":1}"#, "no json", ""] {
        let reply = ask(&plain, GREET, wrong).await;
        let (code, line, error) = bare_error(&reply);
        assert_eq!(code, "400", "{wrong}");
        assert!(line.starts_with("bad-request: "), "{line}");
        assert_eq!(error["code"], "bad-request");
        assert_eq!(line, format!("bad-request: {}", error["message"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn trace_timeout_and_foreign_ids_of_a_bare_request_reach_the_handler() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = seen.clone();
    let _serving = serve(
        &body,
        service("demo.look", move |request| {
            keep.lock().unwrap().push(request);
            async { Ok(Envelope::reply("")) }
        }),
    )
    .await;
    let plain = plain(&server).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("traceparent", trace),
        ("tracestate", "vendor=1"),
        ("Cbs-Timeout-Ms", "1500"),
        ("ce-id", "order-7"),
        ("Nats-Msg-Id", "m-1"),
    ];
    ask_with(&plain, "cbs.default.cell.demo.look", &headers, b"{}").await;
    let garbage = [("traceparent", "00-nonsense"), ("tracestate", "vendor=1")];
    ask_with(&plain, "cbs.default.cell.demo.look", &garbage, b"{}").await;
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].trace().to_string(), trace);
    assert_eq!(seen[0].tracestate, "vendor=1");
    assert_eq!(seen[0].timeout, Some(Duration::from_millis(1500)));
    assert_eq!(seen[0].attribute("ce-id"), Some("order-7"));
    assert_eq!(seen[0].attribute("nats-msg-id"), Some("m-1"));
    // An invalid header starts a new trace, as W3C asks, and its state is dropped.
    assert_eq!(seen[1].foreign_trace, None);
    assert_eq!(seen[1].tracestate, "");
    // A caller that gives no timeout waits as long as the cell may take; the cell's own timeout
    // limits that.
    assert_eq!(seen[1].timeout, Some(Duration::from_hours(24)));
    assert_ne!(seen[0].id, seen[1].id);
}

#[tokio::test]
async fn garbage_in_the_timeout_header_is_a_bad_request_that_quotes_it() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let _serving = serve(&body, greet()).await;
    let plain = plain(&server).await;
    for wrong in ["soon", "0", "-1", "1.5", "18446744073709551616"] {
        let reply =
            ask_with(&plain, GREET, &[("Cbs-Timeout-Ms", wrong)], br#"{"name":"Ada"}"#).await;
        let (code, line, _) = bare_error(&reply);
        assert_eq!(code, "400");
        assert!(line.contains("Cbs-Timeout-Ms") && line.contains(wrong), "{line}");
    }
    for fine in ["1000", "18446744073709551615"] {
        let reply =
            ask_with(&plain, GREET, &[("Cbs-Timeout-Ms", fine)], br#"{"name":"Ada"}"#).await;
        assert_eq!(reply.payload, r#"{"text":"Hello, Ada!"}"#, "{fine}");
    }
}

#[tokio::test]
async fn a_frame_of_another_version_or_a_broken_one_is_a_bad_request_never_bare() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let _serving = serve(&body, echo("demo.echo")).await;
    let plain = plain(&server).await;
    let broken: [(&[u8], &str); 4] = [
        (b"\xCB\x02\x00{}", "frame version 2"),
        (b"\xCB{}", "frame version 123"),
        (b"\xCB", "ends in the middle"),
        (b"\xCB\x01\xFF\xFF\xFF\xFF\x0F", "the header has"),
    ];
    for (bytes, words) in broken {
        let reply = ask(&plain, "cbs.default.cell.demo.echo", cbs::Bytes::from_static(bytes)).await;
        let error = framed_error(&reply);
        assert_eq!(error.code, Code::BadRequest);
        assert!(error.message.contains(words), "{error}");
    }
    let event = cbs::frame::encode(&Envelope::event("a.b".parse().unwrap(), "{}"));
    let error = framed_error(&ask(&plain, "cbs.default.cell.demo.echo", event).await);
    assert_eq!(error.to_string(), "bad-request: the frame is no request");
}

#[tokio::test]
async fn bytes_that_begin_like_a_frame_are_bare_where_a_header_says_what_they_are() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let _serving = serve(&body, echo("demo.echo")).await;
    let plain = plain(&server).await;
    for (name, value) in
        [("Content-Type", "application/x-own"), ("content-type", "text/own"), ("ce-id", "7")]
    {
        let reply =
            ask_with(&plain, "cbs.default.cell.demo.echo", &[(name, value)], b"\xCB\x01\xFF").await;
        assert_eq!(reply.payload.as_ref(), b"\xCB\x01\xFF", "{name}");
    }
    let reply = ask_with(
        &plain,
        "cbs.default.cell.demo.echo",
        &[("Content-Type", "application/x-own")],
        b"\xCB\x01",
    )
    .await;
    assert_eq!(header(&reply, "Content-Type"), Some("application/x-own"));
}

#[tokio::test]
async fn an_error_message_with_control_characters_is_one_header_line_and_whole_in_the_body() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let message = format!("first\r\nX-Evil: 1\r\n\r\n\0\u{7f}\u{85}é {}", "long ".repeat(1000));
    let given = message.clone();
    let _serving = serve(
        &body,
        service("demo.fail", move |_| {
            let error = cbs::CellError::domain("demo.broken", given.clone())
                .with_details(json!({ "a": [1] }));
            async { Err(error.into()) }
        }),
    )
    .await;
    let reply = ask(&plain(&server).await, "cbs.default.cell.demo.fail", "{}").await;
    let (code, line, error) = bare_error(&reply);
    assert_eq!(code, "422");
    assert!(line.starts_with("demo.broken: first  X-Evil: 1"), "{line}");
    assert!(line.chars().count() <= 512 && !line.chars().any(char::is_control), "{line}");
    assert_eq!(
        error,
        json!({ "code": "demo.broken", "message": message, "details": { "a": [1] } })
    );
    assert_eq!(header(&reply, "X-Evil"), None);
}

#[tokio::test]
async fn a_request_without_a_reply_subject_runs_and_is_answered_to_nobody() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let _serving = serve(
        &body,
        service("demo.count", move |_| {
            *count.lock().unwrap() += 1;
            async { Ok(Envelope::reply("")) }
        }),
    )
    .await;
    let plain = plain(&server).await;
    plain.publish("cbs.default.cell.demo.count", "{}".into()).await.unwrap();
    eventually("the cell ran", LONG, async || *seen.lock().unwrap() == 1).await;
}

/// A service that does not know CBS, on the subject of a cell. It answers as its input says.
async fn foreign(server: &NatsServer) -> tokio::task::JoinSet<()> {
    let client = plain(server).await;
    let mut asked =
        client.queue_subscribe("cbs.default.cell.foreign.echo", "cell".into()).await.unwrap();
    settle(&client).await;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Some(message) = asked.next().await {
            // A framed caller sends a frame to every callee.
            let input = cbs::frame::decode(message.payload).unwrap().payload;
            let reply = message.reply.unwrap();
            let mut headers = HeaderMap::new();
            let text = String::from_utf8_lossy(&input).into_owned();
            if let Some((code, line)) = text.split_once(' ') {
                headers.insert("Nats-Service-Error-Code", code);
                headers.insert("Nats-Service-Error", line);
                client.publish_with_headers(reply, headers, "not json".into()).await.unwrap();
            } else {
                client.publish(reply, input).await.unwrap();
            }
        }
    });
    tasks
}

#[tokio::test]
async fn a_framed_caller_takes_the_bare_reply_of_a_service_that_is_no_cell() {
    let server = NatsServer::start().await;
    let _service = foreign(&server).await;
    let client = client(&server).await;
    let asked = request("foreign.echo", "[1,2]");
    let reply = call(&client, asked.clone()).await.unwrap();
    assert_eq!(reply.payload, "[1,2]");
    assert_eq!((reply.id, reply.via), (asked.id, Transport::Nats));
}

#[tokio::test]
async fn the_errors_of_a_service_that_is_no_cell_keep_their_number_and_line() {
    let server = NatsServer::start().await;
    let _service = foreign(&server).await;
    let client = client(&server).await;
    for (code, expected) in [
        ("400", Code::BadRequest),
        ("404", Code::NotFound),
        ("429", Code::Overloaded),
        ("500", Code::CellFailed),
        ("503", Code::Unavailable),
        ("418", Code::Domain("service.418".into())),
    ] {
        let done = call(&client, request("foreign.echo", format!("{code} I am a teapot"))).await;
        let error = done.clone().unwrap_err();
        assert_eq!(error.error().message, "I am a teapot");
        // It answered, so it ran: its own claim is no promise of CBS.
        assert_eq!(fault(done), (expected, Outcome::Ran));
    }
}
