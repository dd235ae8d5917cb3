//! Discovery by the services protocol (ADR-32), asked as any NATS client asks.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::Client;
use bus_nats::{Nats, discovery::Endpoint};
use cbs::{Code, Envelope, Service, TargetInfo, Worker};
use futures::StreamExt;
use serde_json::{Value, json};
use testkit::{NatsServer, eventually, within};
use tokio::task::JoinSet;

use crate::support::{
    AT_ONCE, LONG, body, call, client, echo, options, plain, request, serve, service, settle, stop,
};

/// Time that is longer than any body takes for an answer. A test waits this long for an extra
/// answer.
const QUIET: Duration = Duration::from_millis(250);

/// Returns all answers to a question: waits for `expected` answers, and then until no more come.
async fn answers(client: &Client, question: &str, expected: usize) -> Vec<Value> {
    let inbox = client.new_inbox();
    let mut received = client.subscribe(inbox.clone()).await.unwrap();
    client.publish_with_reply(question.to_owned(), inbox, "".into()).await.unwrap();
    let mut found = Vec::new();
    loop {
        let limit = if found.len() < expected { LONG } else { QUIET };
        match tokio::time::timeout(limit, received.next()).await {
            Ok(Some(answer)) if answer.status.is_some() => {}
            Ok(Some(answer)) => found.push(serde_json::from_slice(&answer.payload).unwrap()),
            Ok(None) => panic!("the client's connection has ended"),
            Err(_) => break,
        }
    }
    assert_eq!(found.len(), expected, "{question}: {found:#?}");
    found
}

fn texts<'a>(answers: &'a [Value], field: &str) -> BTreeSet<&'a str> {
    answers.iter().map(|answer| answer[field].as_str().unwrap()).collect()
}

#[tokio::test]
async fn ping_finds_each_organ_of_each_body_by_name_and_by_id() {
    let server = NatsServer::start().await;
    let one = body(&server, "body-1").await;
    let two = body(&server, "body-2").await;
    let mut serving = Vec::new();
    for nats in [&one, &two] {
        for name in ["logic.greet", "logic.echo", "io.print", "flow greeting"] {
            serving.push(serve(nats, echo(name)).await);
        }
    }
    let plain = plain(&server).await;
    let all = answers(&plain, "$SRV.PING", 6).await;
    assert_eq!(texts(&all, "name"), BTreeSet::from(["flow", "io", "logic"]));
    assert_eq!(texts(&all, "id").len(), 6, "ids are unique: {all:?}");
    assert_eq!(texts(&all, "type"), BTreeSet::from(["io.nats.micro.v1.ping_response"]));
    assert!(all.iter().all(|answer| answer["metadata"]["cbs.namespace"] == "default"));
    let logic = answers(&plain, "$SRV.PING.logic", 2).await;
    assert_eq!(texts(&logic, "id"), BTreeSet::from(["body-1-logic", "body-2-logic"]));
    let one = answers(&plain, "$SRV.PING.logic.body-2-logic", 1).await;
    assert_eq!(one[0]["metadata"]["cbs.body"], "body-2");
    for nobody in ["$SRV.PING.nobody", "$SRV.PING.logic.nobody", "$SRV.NONSENSE"] {
        answers(&plain, nobody, 0).await;
    }
}

#[tokio::test]
async fn info_tells_what_is_served_and_never_schemas() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let about = TargetInfo {
        language: "rust".into(),
        version: "1.2.3".into(),
        revision: "abc".into(),
        description: "greets".into(),
        input: ("demo/v1/Name".into(), "h1".into()),
        output: ("demo/v1/Greeting".into(), "h2".into()),
    };
    let _serving = serve(&body, Service { about: Arc::new(about), ..echo("logic.greet") }).await;
    let info = &answers(&plain(&server).await, "$SRV.INFO.logic", 1).await[0];
    assert_eq!(info["type"], "io.nats.micro.v1.info_response");
    assert!(
        info["version"].as_str().unwrap().split('.').count() == 3,
        "ADR-32 wants a semver: {info}"
    );
    let endpoint = json!({
        "name": "greet",
        "subject": "cbs.default.cell.logic.greet",
        "queue_group": "cell",
        "metadata": {
            "cbs.cell": "cell logic.greet", "cbs.language": "rust", "cbs.version": "1.2.3", "cbs.revision": "abc",
            "cbs.description": "greets", "cbs.input": "demo/v1/Name", "cbs.input-hash": "h1",
            "cbs.output": "demo/v1/Greeting", "cbs.output-hash": "h2",
        },
    });
    assert_eq!(info["endpoints"], json!([endpoint]));
}

#[tokio::test]
async fn stats_and_discover_tell_the_numbers_of_whoever_counts() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let counted = echo("demo.echo");
    let stats = counted.stats.clone();
    stats.set_state("ready".into(), None);
    let lane = Worker {
        name: "lane 0".into(),
        state: "ready".into(),
        in_flight: 1,
        lag_us: 7,
        ..Worker::default()
    };
    let lanes = vec![lane.clone()];
    stats.set_workers(Some(Arc::new(move || lanes.clone())));
    let _serving = serve(&nats, counted).await;
    for (number, value) in [
        (&stats.calls, 3),
        (&stats.errors, 0),
        (&stats.shed, 2),
        (&stats.restarts, 6),
        (&stats.busy_ns, 8_000),
        (&stats.waited_ns, 9),
        (&stats.in_flight, 3),
        (&stats.queued, 5),
    ] {
        number.store(value, Ordering::Relaxed);
    }
    stats.latency.record(Duration::from_millis(1));
    let latency = stats.latency.read();
    stats.count_error(&Code::Overloaded, "overloaded: no room".to_owned());
    let stats = &answers(&plain(&server).await, "$SRV.STATS.demo", 1).await[0];
    assert_eq!(stats["type"], "io.nats.micro.v1.stats_response");
    assert!(stats["started"].as_str().unwrap().ends_with('Z'));
    let endpoint = &stats["endpoints"][0];
    assert_eq!((&endpoint["num_requests"], &endpoint["num_errors"]), (&json!(4), &json!(1)));
    assert_eq!(
        (&endpoint["processing_time"], &endpoint["average_processing_time"]),
        (&json!(8000), &json!(2000))
    );
    assert_eq!(endpoint["last_error"], "overloaded: no room");
    let worker = json!({
        "name": "lane 0", "state": "ready", "in_flight": 1, "queued": 0, "lag_us": 7, "lock_wait_us": 0, "restarts": 0,
        "credit_bytes": null,
    });
    let data = json!({
        "shed": 2, "in_flight": 3, "queued": 5, "state": "ready", "reason": "", "restarts": 6, "workers": [worker],
        "waited": 9, "latency": &latency, "errors": { "overloaded": 1 },
    });
    assert_eq!(endpoint["data"], data);

    let rows = discover(&client(&server).await, 1).await;
    let row = &rows[0];
    assert_eq!(
        (row.target.to_string(), row.body.as_str()),
        ("cell demo.echo".to_owned(), "body-1")
    );
    assert_eq!((&row.workers, row.restarts), (&vec![lane], 6));
    assert_eq!((&row.latency, row.errors_by_code.get("overloaded")), (&latency, Some(&1)));
    assert_eq!((row.calls, row.errors, row.shed, row.in_flight, row.queued), (4, 1, 2, 3, 5));
    assert_eq!(
        (row.mean, row.last_error.as_str()),
        (Duration::from_micros(2), "overloaded: no room")
    );
}

/// Returns this number of rows. On a busy machine an answer may come later than discovery waits:
/// then it asks again.
async fn discover(nats: &Nats, count: usize) -> Vec<Endpoint> {
    let mut rows = Vec::new();
    eventually("all that is served is found", LONG, async || {
        rows = nats.discover(LONG).await.unwrap();
        rows.len() == count
    })
    .await;
    rows
}

#[tokio::test]
async fn a_namespace_sees_its_own_services_only() {
    let server = NatsServer::start().await;
    let demo =
        bus_nats::Options { namespace: "demo-x7".parse().unwrap(), ..options(&server, "body-2") };
    let here = body(&server, "body-1").await;
    let there = Nats::connect(demo.clone()).await.unwrap();
    let _serving =
        (serve(&here, echo("logic.greet")).await, serve(&there, echo("logic.greet")).await);
    let plain = plain(&server).await;
    assert_eq!(answers(&plain, "$SRV.PING.logic", 1).await[0]["metadata"]["cbs.body"], "body-1");
    let other = &answers(&plain, "$SRV.INFO.demo-x7-logic", 1).await[0];
    assert_eq!(other["metadata"]["cbs.namespace"], "demo-x7");
    assert_eq!(other["endpoints"][0]["subject"], "cbs.demo-x7.cell.logic.greet");
    let demo_client =
        Nats::connect_client(bus_nats::Options { body: "client-2".parse().unwrap(), ..demo })
            .await
            .unwrap();
    for (nats, expected) in [(&client(&server).await, "body-1"), (&demo_client, "body-2")] {
        let rows = discover(nats, 1).await;
        assert_eq!(rows.iter().map(|row| row.body.as_str()).collect::<Vec<_>>(), [expected]);
        assert_eq!(call(nats, request("logic.greet", "1")).await.unwrap().source.body, expected);
    }
}

#[tokio::test]
async fn more_than_500_cells_of_an_organ_make_a_second_instance() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let mut serving = Vec::new();
    for number in 0..501 {
        serving.push(serve(&body, echo(&format!("big.cell-{number}"))).await);
    }
    let plain = plain(&server).await;
    let info = answers(&plain, "$SRV.INFO.big", 2).await;
    assert_eq!(texts(&info, "id"), BTreeSet::from(["body-1-big", "body-1-big-1"]));
    let mut sizes: Vec<_> =
        info.iter().map(|answer| answer["endpoints"].as_array().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 500]);
    answers(&plain, "$SRV.PING.big.body-1-big-1", 1).await;
    discover(&client(&server).await, 501).await;
    stop(serving.pop().unwrap()).await;
    answers(&plain, "$SRV.PING.big", 1).await;
}

/// A body that answers the ping at once, and takes some time to write the rest.
async fn slow_body(client: Client, slow: Duration) -> JoinSet<()> {
    let mut questions = client.subscribe("$SRV.*").await.unwrap();
    client.flush().await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(question) = questions.next().await {
            let (kind, rest) = match question.subject.as_str() {
                "$SRV.PING" => ("ping", json!({})),
                "$SRV.INFO" => ("info", json!({ "metadata": { "cbs.cell": "cell slow.cell" }, "subject": "s" })),
                _ => (
                    "stats",
                    json!({ "num_requests": 7, "num_errors": 0, "average_processing_time": 0, "subject": "s" }),
                ),
            };
            if kind != "ping" {
                // sleep: the time that the body takes to write its answer.
                tokio::time::sleep(slow).await;
            }
            let answer = json!({
                "type": format!("io.nats.micro.v1.{kind}_response"), "id": "slow-1", "endpoints": [rest],
                "metadata": { "cbs.namespace": "default", "cbs.body": "slow" },
            });
            client.publish(question.reply.unwrap(), answer.to_string().into()).await.unwrap();
        }
    });
    tasks
}

#[tokio::test]
async fn who_has_answered_the_ping_is_waited_for_though_others_are_quick() {
    let server = NatsServer::start().await;
    let quick = body(&server, "body-1").await;
    let _serving = serve(&quick, echo("logic.greet")).await;
    let _slow = slow_body(plain(&server).await, Duration::from_millis(250)).await;
    // The last answer comes half a second after the question.
    let wait = Duration::from_millis(300);
    let rows = within(LONG, "discovery", client(&server).await.discover(wait)).await.unwrap();
    let reported: Vec<_> = rows.iter().map(|row| (row.target.to_string(), row.calls)).collect();
    assert_eq!(reported, [("cell logic.greet".to_owned(), 0), ("cell slow.cell".to_owned(), 7)]);
}

#[tokio::test]
async fn a_stopped_cell_is_gone_from_discovery_and_may_come_back() {
    let server = NatsServer::start().await;
    let body = body(&server, "body-1").await;
    let serving = serve(&body, echo("logic.greet")).await;
    let _other = serve(&body, echo("logic.echo")).await;
    let lone = serve(&body, echo("io.print")).await;
    let client = client(&server).await;
    discover(&client, 3).await;
    stop(serving).await;
    drop(lone);
    let rows = discover(&client, 1).await;
    assert_eq!(rows.iter().map(|row| row.target.name()).collect::<Vec<_>>(), ["logic.echo"]);
    let plain = plain(&server).await;
    answers(&plain, "$SRV.PING.io", 0).await;
    let _again = serve(&body, echo("io.print")).await;
    answers(&plain, "$SRV.PING.io", 1).await;
}

#[tokio::test]
async fn discovery_is_quick_where_nobody_serves_and_passes_over_services_that_are_none_of_ours() {
    let server = NatsServer::start().await;
    let client = client(&server).await;
    let started = std::time::Instant::now();
    let rows = client.discover(LONG).await.unwrap();
    assert!(rows.is_empty() && started.elapsed() < AT_ONCE, "{:?}", started.elapsed());

    let plain = plain(&server).await;
    let mut asked = plain.subscribe("$SRV.>").await.unwrap();
    settle(&plain).await;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Some(question) = asked.next().await {
            for answer in [
                r#"{"type":"io.nats.micro.v1.info_response","name":"x","id":"1","endpoints":[]}"#,
                "no json",
            ] {
                plain.publish(question.reply.clone().unwrap(), answer.into()).await.unwrap();
            }
        }
    });
    let body = body(&server, "body-1").await;
    let _serving = serve(&body, service("demo.echo", |_| async { Ok(Envelope::reply("")) })).await;
    discover(&client, 1).await;
}

#[tokio::test]
async fn what_is_announced_is_told_of_while_nobody_serves_it() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let cell = echo("demo.echo");
    cell.stats.set_state("restarting".into(), Some("it fell".to_owned()));
    let announced = nats.announce(cell.clone()).await.unwrap();
    let client = client(&server).await;
    let away = discover(&client, 1).await;
    assert_eq!((&*away[0].state, &*away[0].reason), ("restarting", "it fell"), "{away:?}");
    cell.stats.set_state("ready".into(), None);
    let serving = serve(&nats, cell.clone()).await;
    // Reported once.
    let served = discover(&client, 1).await;
    assert_eq!((&*served[0].state, served[0].calls), ("ready", 0));
    serving.stop().await;
    drop(announced);
    discover(&client, 0).await;
}
