//! Bodies that hang: callers avoid them, and use them again later.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bus_nats::{Nats, Options};
use cbs::{Envelope, Serving, Text};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use testkit::{NatsServer, eventually, within};

use crate::support::{LONG, body, call, client, echo, plain, request, serve, stop};

const URL: &str = "CBS_TEST_NATS";

/// Another process's body, for the tests below.
#[tokio::test]
#[ignore = "started by the tests of this file"]
async fn a_body_for_the_next_tests() {
    let url = std::env::var(URL).unwrap();
    let nats = Nats::connect(Options::new(url, "other".parse().unwrap())).await.unwrap();
    let _serving = serve(&nats, echo("demo.echo")).await;
    println!("\nready");
    // Until the test kills this process, or closes its standard input by its own end.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
}

/// The other process; killed when dropped.
struct Other(Child);

impl Other {
    async fn start(server: &NatsServer) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hanging::a_body_for_the_next_tests", "--ignored", "--nocapture"])
            .env(URL, server.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready =
            tokio::task::spawn_blocking(|| lines.map_while(Result::ok).any(|line| line == "ready"));
        assert!(within(LONG, "the other body", ready).await.unwrap());
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Two bodies that serve one cell, one of them in another process, and a client that knows both.
struct TwoBodies {
    client: Nats,
    here: Nats,
    other: Other,
    server: NatsServer,
    _serving: Box<dyn Serving>,
}

/// Starts the two bodies. The server takes long to detect one that hangs.
async fn two_bodies() -> TwoBodies {
    let server = NatsServer::with_config("ping_interval: \"120s\"\n").await;
    let (nats, client) = (body(&server, "here").await, client(&server).await);
    let other = Other::start(&server).await;
    let serving = serve(&nats, echo("demo.echo")).await;
    let mut met = std::collections::BTreeSet::new();
    eventually("both have answered", LONG, async || {
        met.extend(answer(&client, LONG).await);
        met.len() == 2
    })
    .await;
    TwoBodies { client, here: nats, other, server, _serving: serving }
}

/// Returns the body that answered, if one did in time.
async fn answer(nats: &Nats, timeout: Duration) -> Option<Text> {
    let asked = Envelope { timeout: Some(timeout), ..request("demo.echo", "1") };
    call(nats, asked).await.ok().map(|reply| reply.source.body)
}

/// Calls until the body that hangs has been ejected.
async fn until_ejected(client: &Nats) {
    eventually("the one that hangs is ejected", LONG, async || {
        answer(client, Duration::from_millis(500)).await;
        client.counters().ejections == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_hangs_gets_no_more_calls_until_it_answers_again() {
    let TwoBodies { client, other, .. } = &two_bodies().await;
    other.signal(Signal::SIGSTOP);
    until_ejected(client).await;
    for _ in 0..100 {
        assert_eq!(answer(client, LONG).await.as_deref(), Some("here"));
    }
    other.signal(Signal::SIGCONT);
    eventually("the other answers again", LONG, async || {
        answer(client, LONG).await.as_deref() == Some("other")
    })
    .await;
    assert_eq!(client.counters().ejections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ejected_body_that_is_gone_is_forgotten_and_new_ones_are_found() {
    let TwoBodies { client, here, other, server, _serving } = two_bodies().await;
    other.signal(Signal::SIGSTOP);
    until_ejected(&client).await;
    drop(other);
    let new = body(&server, "new").await;
    let _serving_too = serve(&new, echo("demo.echo")).await;
    eventually("the new one answers", LONG, async || {
        answer(&client, LONG).await.as_deref() == Some("new")
    })
    .await;
    assert_eq!(answer(&here, LONG).await.as_deref().map(str::is_empty), Some(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_goes_on_to_the_next_body_where_one_has_stopped_serving() {
    let TwoBodies { client, other, server, .. } = &two_bodies().await;
    let third = body(server, "third").await;
    let serving = serve(&third, echo("demo.echo")).await;
    eventually("the third answers", LONG, async || {
        answer(client, LONG).await.as_deref() == Some("third")
    })
    .await;
    other.signal(Signal::SIGSTOP);
    until_ejected(client).await;
    stop(serving).await;
    for _ in 0..20 {
        assert_eq!(answer(client, LONG).await.as_deref(), Some("here"));
    }
}

#[tokio::test]
async fn slow_cells_eject_nobody_and_any_client_may_ask_a_body_for_a_sign_of_life() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let cell = crate::support::service("slow.some", |request| async move {
        if request.payload == "hang" {
            std::future::pending().await
        } else {
            Ok(Envelope::reply(""))
        }
    });
    let _serving = serve(&nats, cell).await;
    let client = client(&server).await;
    call(&client, request("slow.some", "1")).await.unwrap();
    for _ in 0..20 {
        let hang =
            Envelope { timeout: Some(Duration::from_millis(100)), ..request("slow.some", "hang") };
        assert_eq!(*call(&client, hang).await.unwrap_err().code(), cbs::Code::Timeout);
    }
    assert_eq!(client.counters().ejections, 0);
    let plain = plain(&server).await;
    let sign = plain.request("cbs.default.body.body-1.ctl", "".into());
    assert_eq!(within(LONG, "a sign of life", sign).await.unwrap().payload, r#"{"body":"body-1"}"#);
}

#[tokio::test]
async fn a_client_that_may_not_ask_for_a_sign_of_life_ejects_nobody() {
    let users = "{ user: body, password: b }, \
                 { user: caller, password: c, permissions: { publish: { deny: \"cbs.*.body.*.ctl\" } } }";
    let server =
        NatsServer::with_config(&format!("authorization {{ users: [ {users} ] }}\n")).await;
    let options = |user: &str, id: &str| {
        Options::new(
            server.url().replace("nats://", &format!("nats://{user}@")),
            id.parse().unwrap(),
        )
    };
    let nats = Nats::connect(options("body:b", "body-1")).await.unwrap();
    let cell = crate::support::service("slow.some", |request| async move {
        if request.payload == "hang" {
            std::future::pending().await
        } else {
            Ok(Envelope::reply(""))
        }
    });
    let _serving = serve(&nats, cell).await;
    let client = Nats::connect_client(options("caller:c", "client-1")).await.unwrap();
    call(&client, request("slow.some", "1")).await.unwrap();
    eventually("the client is told four times that it may not ask", LONG, async || {
        let hang =
            Envelope { timeout: Some(Duration::from_millis(100)), ..request("slow.some", "hang") };
        call(&client, hang).await.unwrap_err();
        client.counters().server_errors >= 4
    })
    .await;
    assert_eq!(client.counters().ejections, 0);
}
