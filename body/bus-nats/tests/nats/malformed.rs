//! Messages that a NATS client cannot read. The server passes them on: it checks neither headers
//! nor the form of a subject.

use std::{io, time::Duration};

use bus_nats::{LinkState, Nats, store::BucketSettings};
use cbs::{Delivery, Envelope, Subscription};
use futures::StreamExt;
use serde_json::json;
use testkit::{NatsServer, eventually, within};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{LONG, body, call, client, echo, plain, request, serve, stop};

/// Limit of the time of a call here: a call that ran when a connection broke may be lost.
const PATIENCE: Duration = Duration::from_millis(100);

/// Invalid headers, each for another reason.
const HEADERS: [&[u8]; 18] = [
    b"\xff\xff\xff\xff",
    b"NATS/9.9\r\n\r\n",
    b"nats/1.0\r\n\r\n",
    b"\r\n\r\n",
    b"x",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/1.0\r\n: no name\r\n\r\n",
    b"NATS/1.0\r\na name: x\r\n\r\n",
    b"NATS/1.0\r\nA\x01: x\r\n\r\n",
    b"NATS/1.0\r\nA\xff: x\r\n\r\n",
    b"NATS/1.0\r\nA: \xff\r\n\r\n",
    b"NATS/1.0\r\nA: x\ry\r\n\r\n",
    b"NATS/1.0\r\nA: x\r\n y\rz\r\n\r\n",
    b"NATS/1.0 abc\r\n\r\n",
    b"NATS/1.0 99999 x\r\n\r\n",
    b"NATS/1.0 -1\r\n\r\n",
    b"NATS/1.0\nA: b\nc\n\n",
    b"NATS/1.0\r\n\r\nrest",
];

/// A client that writes any bytes.
struct Raw(TcpStream);

impl Raw {
    async fn connect(server: &NatsServer) -> Self {
        let address = server.url().strip_prefix("nats://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"CONNECT {\"headers\":true,\"verbose\":false}\r\n").await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, subject: &[u8], reply: &[u8], header: &[u8]) -> io::Result<()> {
        let mut line = [b"HPUB ", subject, b" ", reply].concat();
        line.extend(format!(" {0} {0}\r\n", header.len()).bytes());
        self.0.write_all(&[&line[..], header, b"\r\n"].concat()).await
    }

    async fn publish(&mut self, subject: &[u8], reply: &[u8]) -> io::Result<()> {
        self.0.write_all(&[b"PUB ", subject, b" ", reply, b" 2\r\nhi\r\n"].concat()).await
    }
}

/// Waits until calls are answered again, three in a row; a connection that is up answers.
async fn usable(nats: &Nats, client: &Nats, what: &str) {
    let mut answered = 0;
    eventually(what, LONG, async || {
        let asked = Envelope { timeout: Some(PATIENCE), ..request("demo.echo", "1") };
        let done = call(client, asked).await;
        answered = if done.is_ok_and(|reply| reply.payload == "1") { answered + 1 } else { 0 };
        answered >= 3 && [nats, client].iter().all(|nats| *nats.link().borrow() == LinkState::Up)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_and_its_callers_stay_of_use_whatever_anybody_sends_to_them() {
    let server = NatsServer::with_jetstream().await;
    let (nats, client) = (body(&server, "body-1").await, client(&server).await);
    let serving = serve(&nats, echo("demo.echo")).await;
    let bucket =
        within(LONG, "a bucket", client.bucket(&BucketSettings::kept("kept"))).await.unwrap();
    let wanted = || Subscription { filter: "order.>".parse().unwrap(), group: None };
    let mut events = nats.bus().subscribe(wanted()).await.unwrap();
    let mut taps = client.bus().subscribe(wanted()).await.unwrap();
    // The subject of the client's replies: a program that receives its calls knows it.
    let mut overheard = plain(&server).await.subscribe("cbs.default.cell.>").await.unwrap();
    usable(&nats, &client, "all is well").await;
    let inbox = within(LONG, "a call", overheard.next()).await.unwrap().reply.unwrap();
    drop(overheard);

    let mut raw = Raw::connect(&server).await;
    for header in HEADERS {
        for subject in
            ["cbs.default.ctl", "cbs.default.cell.demo.echo", "cbs.default.event.order.x", &inbox]
        {
            raw.send(subject.as_bytes(), b"r.eply", header).await.unwrap();
            usable(&nats, &client, &format!("{subject} {header:?}")).await;
        }
    }
    let replies: [&[u8]; 4] = [b"r", b"r\xff", "r\u{2003}".as_bytes(), b"\x01"];
    for reply in replies {
        let subjects: [&[u8]; 4] = [
            b"cbs.default.ctl",
            b"cbs.default.body.body-1.cell.demo.\xff",
            b"cbs.default.event.order.\xff",
            "cbs.default.event.order.\u{2003}".as_bytes(),
        ];
        for subject in subjects {
            raw.publish(subject, reply).await.unwrap();
            raw.send(subject, reply, b"NATS/1.0\r\nA: b\r\n\r\n").await.unwrap();
            usable(&nats, &client, &format!("{subject:?} {reply:?}")).await;
        }
    }
    let of_body = nats.counters();
    let of_client = client.counters();
    assert!(
        of_body.clients_replaced > 0 && of_client.clients_replaced > 0,
        "{of_body:?} {of_client:?}"
    );
    assert!(of_body.reconnects > of_body.clients_replaced, "{of_body:?}");

    // All earlier subscriptions still exist.
    client.bus().publish(Envelope::event("order.last".parse().unwrap(), "mark")).await.unwrap();
    for events in [&mut events, &mut taps] {
        let marked = async {
            loop {
                match events.next().await.unwrap() {
                    Delivery::Event(event) if event.payload == "mark" => return,
                    _ => {}
                }
            }
        };
        within(LONG, "the last event", marked).await;
    }
    bucket.put("key", "value".into()).await.unwrap();
    assert_eq!(bucket.get("key").await.unwrap().unwrap().value, "value");
    let answers = client.ask_all(&json!({ "ask": "x" }), LONG).await.unwrap();
    assert_eq!(answers.len(), 1);
    assert_eq!(client.discover(LONG).await.unwrap().len(), 1);
    let direct =
        client.in_body("body-1".parse().unwrap()).call(request("demo.echo", "1")).await.unwrap();
    assert_eq!(direct.payload, "1");
    stop(serving).await;
    within(LONG, "the end", nats.close()).await;
}
