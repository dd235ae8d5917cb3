//! Traces and logs of calls. None of them ever delays a call.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use e2e::{Body, Collector, Fleet, LIMIT, Load, Process, attributes, hex};
use serde_json::{Value, json};
use testkit::{eventually, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::stories;

/// Limit of a first start: it may compile a Dart cell, or make the environment of Python cells.
const FIRST_TIME: Duration = Duration::from_secs(120);

/// Returns a body of the stories' program with these cells.
fn body(id: &str, cells: &[&str]) -> Body {
    cells.iter().fold(stories(id), |body, cell| body.cell(cell, ""))
}

async fn up_with(fleet: &Fleet, body: &Body, vars: &[(&str, &str)]) -> Process {
    let mut command = fleet.command(body);
    command.envs(vars.iter().copied());
    let mut process = fleet.world.start(command);
    process.until_printed_within(FIRST_TIME, &format!("body {}, namespace ", body.id())).await;
    process
}

/// Waits for the HTTP address that the body reports; returns it without `http://`.
async fn address(body: &mut Process) -> String {
    let reported = body.until_told("HTTP: http://").await;
    let after = reported.split("HTTP: http://").nth(1).and_then(|rest| rest.split('/').next());
    after.expect("an address").to_owned()
}

/// Returns the answer of the body over HTTP, with its head.
async fn page(address: &str, path: &str) -> String {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: body\r\n\r\n").as_bytes()).await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await.map(|_| page)
    };
    within(LIMIT, path, asking).await.expect("a page")
}

/// Returns the spans of `cbs … --trace --format json`.
fn spans(trace: &Value) -> Vec<Value> {
    trace["spans"].as_array().cloned().unwrap_or_default()
}

/// Returns the roots of a trace: spans whose parent is not among the spans.
fn roots(spans: &[Value]) -> Vec<&Value> {
    let known = |id: &Value| spans.iter().any(|span| span["span_id"] == *id);
    spans.iter().filter(|span| !known(&span["parent_id"])).collect()
}

#[tokio::test]
async fn the_trace_of_a_flow_in_three_languages_arrives_whole_and_cbs_shows_the_same() {
    let fleet = Fleet::start().await;
    let collector = Collector::start().await;
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/variants/polyglot");
    let up = Body::of_specs("one", &specs).with(&["--trace-ratio", "1"]);
    let mut process =
        up_with(&fleet, &up, &[("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())]).await;
    let run = ["flow", "run", "greeting", r#"{"name":"Ada"}"#, "--trace", "--format", "json"];
    let done = fleet.run(&run).await.with_status(0);
    let reported: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(reported["reply"], json!({ "text": "Hello, Ada!" }));
    let shown = spans(&reported["trace"]);
    let id = reported["trace"]["trace"].as_str().expect("an id").to_owned();
    let [root] = roots(&shown).try_into().expect("one root");
    assert_eq!(
        (root["side"].as_str(), root["target"].as_str()),
        (Some("client"), Some("flow greeting"))
    );
    for language in ["rust", "python", "dart"] {
        assert!(shown.iter().any(|span| span["language"] == language), "{language}: {shown:?}");
    }
    let kept = shown.len() - 1;
    eventually("the trace at the receiver", LIMIT, async || collector.trace(&id).len() == kept)
        .await;
    let sent: BTreeMap<_, _> = collector
        .trace(&id)
        .iter()
        .map(|span| (hex(&span.span_id), hex(&span.parent_span_id)))
        .collect();
    for span in shown.iter().filter(|span| *span != root) {
        let own = span["span_id"].as_str().expect("an id");
        assert_eq!(sent.get(own).map(String::as_str), span["parent_id"].as_str(), "{span}");
    }
    let of_greet =
        collector.trace(&id).into_iter().find(|span| span.name == "logic.greet").expect("a span");
    let about = attributes(&of_greet.attributes);
    assert_eq!(
        (about["rpc.system.name"].as_str(), about["rpc.method"].as_str()),
        ("cbs", "logic.greet")
    );
    let resource = collector.resources().pop().expect("a resource");
    assert_eq!(
        (resource["service.name"].as_str(), resource["service.instance.id"].as_str()),
        ("cbs", "one")
    );
    // The tree in readable form, found by the trace's id and by a request of it.
    let request =
        shown.iter().find(|span| span["target"] == "cell logic.greet").expect("a span")["request"]
            .clone();
    for id in [id.as_str(), request.as_str().expect("an id")] {
        let tree = fleet.run(&["trace", id]).await.with_status(0).stdout;
        for words in [
            "flow greeting",
            "io.prompt_name",
            "logic.greet",
            "python",
            "dart",
            "(attempt 2)",
            "greeting.shy",
        ] {
            assert!(tree.contains(words), "{words} is not in:\n{tree}");
        }
    }
    process.terminate().await.with_status(0);
}

#[tokio::test]
async fn a_call_with_trace_is_shown_through_two_bodies_that_sample_nothing() {
    let fleet = Fleet::start().await;
    let none = ["--trace-ratio", "0"];
    let _one = fleet.up(&body("one", &["story.calls"]).with(&none)).await;
    let _two = fleet.up(&body("two", &["story.logs"]).with(&none)).await;
    let input = json!({ "cell": "story.logs", "input": { "lines": 1 } }).to_string();
    fleet.caller().await.until_answered("story.logs", &json!({})).await;
    let done = fleet.run(&["call", "story.calls", &input, "--trace"]).await.with_status(0);
    for words in ["story.calls", "  story.logs", "one", "two", "nats", "lines = 1", "trace "] {
        assert!(done.stderr.contains(words), "{words} is not in:\n{}", done.stderr);
    }
    assert!(!done.stdout.contains("trace"), "{}", done.stdout);
    // The same call without `--trace` leaves no trace.
    let answer = fleet.run(&["call", "story.calls", &input]).await.with_status(0);
    assert_eq!(answer.stderr, "");
}

#[tokio::test]
async fn a_call_that_failed_is_found_by_the_command_that_it_prints() {
    let fleet = Fleet::start().await;
    let _one = fleet.up(&body("one", &["story.panics"]).with(&["--trace-ratio", "0"])).await;
    let failed = fleet.run(&["call", "story.panics", "{}"]).await.with_status(1);
    let id = failed
        .stderr
        .split("cbs trace ")
        .nth(1)
        .expect("a hint")
        .split_whitespace()
        .next()
        .expect("an id");
    let tree = fleet.run(&["trace", id]).await.with_status(0).stdout;
    assert!(tree.contains("story.panics") && tree.contains("cell-failed"), "{tree}");
    let nothing =
        fleet.run(&["trace", "0123456789abcdef0123456789abcdef"]).await.with_status(1).stderr;
    for words in ["no body has a span", "one keeps 1 span since", "8192", "--trace-ratio"] {
        assert!(nothing.contains(words), "{words} is not in:\n{nothing}");
    }
    let off = fleet.up(&body("two", &["story.calls"]).with(&["--telemetry", "off"])).await;
    let reported =
        fleet.run(&["trace", "0123456789abcdef0123456789abcdef"]).await.with_status(1).stderr;
    assert!(reported.contains("two: this body records nothing"), "{reported}");
    drop(off);
    fleet.run(&["trace", "nonsense"]).await.with_status(64);
}

/// Returns a number on the body's page of metrics.
fn number(page: &str, series: &str) -> u64 {
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {series} in\n{page}"))
}

/// Makes calls while the OTLP receiver does not work: all are answered in time, the queue is
/// bounded, dropped spans are counted. The body ends in time and has logged the fault once.
async fn bears(url: &str) {
    let fleet = Fleet::start().await;
    let sent = body("one", &["story.logs"]).with(&[
        "--trace-ratio",
        "1",
        "--otlp",
        url,
        "--otlp-logs",
        "--http",
        "0",
    ]);
    let mut process = fleet.up(&sent).await;
    let address = address(&mut process).await;
    let caller = fleet.caller().await;
    let load = Load::new(&caller, "story.logs", json!({ "lines": 0, "body": "one" }));
    load.run(8, 500).await;
    assert_eq!((load.answered(), load.failed()), (4_000, vec![]));
    process.until_told("the OTLP receiver takes no spans").await;
    // Each call makes a span, and some thousands may wait or be under way.
    let dropped = || async {
        let page = page(&address, "/metrics").await;
        let of = |reason| {
            number(
                &page,
                &format!("cbs_otlp_dropped_total{{signal=\"traces\",reason=\"{reason}\"}}"),
            )
        };
        assert_eq!(number(&page, "cbs_otlp_exported_total{signal=\"traces\"}"), 0);
        assert!(
            number(&page, "cbs_spans_kept") <= 8_192
                && number(&page, "cbs_spans_kept_bytes") <= 16 << 20,
            "{page}"
        );
        of("queue-full") + of("failed")
    };
    let before = dropped().await;
    let memory = process.peak_memory();
    assert!(before >= 4_000 - 2_048 - 512, "{before}");
    load.run(8, 500).await;
    assert_eq!((load.answered(), load.failed()), (8_000, vec![]));
    let after = dropped().await;
    assert!(after >= 8_000 - 2_048 - 512 && after > before, "{before}, {after}");
    // Queues and memory were full before: later spans do not make them grow.
    let grown = process.peak_memory() - memory;
    assert!(grown < 48 << 20, "{grown} bytes more");
    let ending = Instant::now();
    let done = process.terminate().await.with_status(0);
    assert!(ending.elapsed() < Duration::from_secs(20), "{:?}", ending.elapsed());
    assert_eq!(
        done.stderr.matches("the OTLP receiver takes no spans").count(),
        1,
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn spans_arrive_over_tls_at_a_receiver_whose_certificate_is_trusted_and_at_no_other() {
    let fleet = Fleet::start().await;
    let (collector, pem) = Collector::with_tls().await;
    let trusted = fleet.world.write("ca.pem", &pem);
    let sent = |id: &str| {
        body(id, &["story.logs"]).with(&["--trace-ratio", "1", "--otlp", collector.url()])
    };
    let mut stranger = fleet.up(&sent("stranger")).await;
    let caller = fleet.caller().await;
    caller.call("story.logs", &json!({})).await;
    stranger.until_told("the OTLP receiver takes no spans").await;
    stranger.terminate().await.with_status(0);
    assert!(collector.resources().is_empty(), "{:?}", collector.resources());
    let mut process =
        up_with(&fleet, &sent("one"), &[("SSL_CERT_FILE", &trusted.to_string_lossy())]).await;
    caller.call("story.logs", &json!({})).await;
    eventually("a span over TLS", LIMIT, async || !collector.resources().is_empty()).await;
    process.terminate().await.with_status(0);
}

#[tokio::test]
async fn a_receiver_that_never_answers_costs_no_call() {
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    bears(&format!("http://{}", deaf.local_addr().expect("an address"))).await;
}

#[tokio::test]
async fn a_receiver_that_is_not_there_costs_no_call() {
    // The port is bound without a listener: connections are refused, and no other program gets the
    // port.
    let gone = TcpSocket::new_v4().expect("a socket");
    gone.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    bears(&format!("http://{}", gone.local_addr().expect("an address"))).await;
}

#[tokio::test]
async fn the_log_is_changed_while_the_body_runs_and_goes_back_by_itself() {
    let fleet = Fleet::start().await;
    let mut process = fleet.up(&body("one", &["story.logs"])).await;
    let caller = fleet.caller().await;
    let quiet = json!({ "lines": 1, "line": "whispered", "debug": true });
    caller.call("story.logs", &quiet).await;
    let shown = fleet.run(&["log-level"]).await.with_status(0).stdout;
    assert!(shown.contains("one") && shown.contains("info"), "{shown}");
    let wrong = fleet.run(&["log-level", "infoo"]).await.with_status(1);
    assert!(wrong.stderr.contains("`infoo` is no level"), "{}", wrong.stderr);
    fleet.run(&["log-level", "info,cbs::cell=debug", "--for", "1s"]).await.with_status(0);
    let input = json!({ "lines": 1, "line": "spoken", "debug": true });
    caller.call("story.logs", &input).await;
    process.until_told("spoken 0").await;
    process.until_told("is `info` again").await;
    let back =
        fleet.run(&["log-level", "--body", "one", "--format", "json"]).await.with_status(0).stdout;
    assert_eq!(serde_json::from_str::<Value>(&back).expect("JSON")[0]["filter"], "info");
    fleet.run(&["log-level", "--body", "nobody"]).await.with_status(1);
    let done = process.terminate().await.with_status(0);
    assert!(!done.stderr.contains("whispered"), "{}", done.stderr);
    let line = done.stderr.lines().find(|line| line.contains("spoken 0")).expect("the line");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["fields"]["trace_id"].as_str().map(str::len), Some(32), "{line}");
    assert_eq!(line["fields"]["id"].as_str().map(str::len), Some(36), "{line}");
}

#[tokio::test]
async fn a_cell_that_logs_in_a_loop_has_its_share_and_what_is_left_out_is_told() {
    let fleet = Fleet::start().await;
    let mut process = fleet.up(&body("one", &["story.logs"])).await;
    fleet.caller().await.call("story.logs", &json!({ "lines": 20_000, "line": "again" })).await;
    process.until_told("lines of the cell were left out").await;
    let done = process.terminate().await.with_status(0);
    let lines = done.stderr.matches("again ").count();
    assert!((1_000..6_000).contains(&lines), "{lines}");
}

#[tokio::test]
async fn a_reader_of_the_log_that_stands_still_holds_up_no_call() {
    let fleet = Fleet::start().await;
    let mut command = fleet.command(&body("one", &["story.logs"]));
    // Nobody reads the pipe, which holds 64 KiB.
    command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let process = command.spawn().expect("a process");
    let caller = fleet.caller().await;
    caller.until_answered("story.logs", &json!({})).await;
    let line = "x".repeat(10_000);
    for _ in 0..20 {
        let answer = caller.call("story.logs", &json!({ "lines": 40, "line": line })).await;
        assert_eq!(answer.status, 200, "{}", answer.line);
    }
    drop(process);
}

#[tokio::test]
async fn lines_of_calls_arrive_at_the_receiver_with_their_trace() {
    let fleet = Fleet::start().await;
    let collector = Collector::start().await;
    let sent = body("one", &["story.logs"]);
    let vars = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("CBS_OTLP_LOGS", "1"),
        ("CBS_LOG", "trace"),
    ];
    let mut process = up_with(&fleet, &sent, &vars).await;
    fleet.caller().await.call("story.logs", &json!({ "lines": 2, "line": "carried" })).await;
    let found = || {
        collector
            .lines()
            .into_iter()
            .filter(|line| format!("{:?}", line.body).contains("carried"))
            .count()
    };
    eventually("the lines at the receiver", LIMIT, async || found() == 2).await;
    process.terminate().await.with_status(0);
    let lines = collector.lines();
    let line = lines
        .iter()
        .find(|line| {
            attributes(&line.attributes).get("cbs.cell").is_some_and(|cell| cell == "story.logs")
        })
        .expect("a line of the cell");
    assert_eq!((line.trace_id.len(), line.span_id.len()), (16, 8));
    // To send log lines does not make new ones that are sent.
    assert!(lines.len() < 1_000, "{}", lines.len());
}

#[tokio::test]
async fn no_secret_is_shown_however_much_is_logged() {
    let fleet = Fleet::with_config("authorization { user: ada, password: sesame }\n").await;
    let collector = Collector::start().await;
    let vars = [
        ("CBS_LOG", "trace"),
        ("CBS_OTLP_LOGS", "1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20opensesame"),
    ];
    let url = format!("nats://ada:sesame@127.0.0.1:{}", fleet.server.port());
    let mut command =
        body("one", &["story.logs"]).with(&["--trace-ratio", "1"]).command(&fleet.world);
    command.args(["--nats", &url]).envs(vars);
    let mut process = fleet.world.start(command);
    let printed = process.until_printed("body one, namespace ").await;
    let run = async |arguments: &[&str]| {
        let mut command = fleet.world.cbs(&[arguments, &["--nats", &url]].concat());
        command.env("CBS_LOG", "trace");
        let done = fleet.world.finish(command).await;
        format!("{}{}", done.stdout, done.stderr)
    };
    let called = run(&["call", "story.logs", r#"{"lines":1,"line":"heard"}"#, "--trace"]).await;
    let listed = run(&["ls", "--format", "json"]).await;
    let wrong = run(&["call", "story.logs", "{}", "--password", "sesame", "--user", "eve"]).await;
    eventually("the header at the receiver", LIMIT, async || {
        collector.authorizations().iter().any(|header| header == "Bearer opensesame")
    })
    .await;
    let done = process.terminate().await.with_status(0);
    assert!(done.stderr.contains("heard 0"), "{}", done.stderr);
    let lines = format!("{:?}", collector.lines());
    for shown in [&printed, &done.stdout, &done.stderr, &called, &listed, &wrong, &lines] {
        assert!(
            !shown.contains("sesame"),
            "{}",
            shown.lines().find(|line| line.contains("sesame")).unwrap_or_default()
        );
    }
}

#[tokio::test]
async fn no_token_and_no_seed_is_shown_however_much_is_logged() {
    let fleet = Fleet::with_config("authorization { token: opensesame }\n").await;
    // A seed without any rights, from the documentation of NATS' keys, and an invalid JWT.
    let jwt = "eyJ0eXAiOiJKV1QifQ.sesame.sesame";
    let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    fleet.world.write("user.creds", &creds);
    let up = body("one", &["story.logs"]).with(&[
        "--trace-ratio",
        "1",
        "--http",
        "0",
        "--token",
        "opensesame",
    ]);
    let mut command = fleet.command(&up);
    command.env("CBS_LOG", "trace");
    let mut process = fleet.world.start(command);
    let printed = process.until_printed("body one, namespace ").await;
    let address = address(&mut process).await;
    let run = async |arguments: &[&str]| {
        let mut command = fleet.world.cbs(&[arguments, &["--nats", fleet.server.url()]].concat());
        command.env("CBS_LOG", "trace");
        let done = fleet.world.finish(command).await;
        format!("{}{}", done.stdout, done.stderr)
    };
    let called = run(&[
        "call",
        "story.logs",
        r#"{"lines":1,"line":"heard"}"#,
        "--trace",
        "--token",
        "opensesame",
    ])
    .await;
    assert!(called.contains("story.logs"), "{called}");
    let wrong = run(&["ls", "--token", "anothersesame"]).await;
    let creds = run(&["ls", "--creds", "user.creds"]).await;
    assert!(wrong.contains("error") && creds.contains("error"), "{wrong}\n{creds}");
    let pages = [page(&address, "/metrics").await, page(&address, "/readyz").await];
    let done = process.terminate().await.with_status(0);
    for shown in
        [&printed, &done.stdout, &done.stderr, &called, &wrong, &creds, &pages[0], &pages[1]]
    {
        for secret in ["sesame", seed] {
            let line = shown.lines().find(|line| line.contains(secret));
            assert_eq!(line, None);
        }
    }
}

#[tokio::test]
async fn garbage_in_trace_headers_begins_a_new_trace() {
    let fleet = Fleet::start().await;
    let collector = Collector::start().await;
    let sent =
        body("one", &["story.logs"]).with(&["--trace-ratio", "0", "--otlp", collector.url()]);
    let mut process = fleet.up(&sent).await;
    let caller = fleet.caller().await;
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let long = "x".repeat(10_240);
    let good = format!("00-{id}-00f067aa0c4902c7-01");
    let all_flags = format!("00-{id}-00f067aa0c4902c7-ff");
    for wrong in [
        "garbage".to_owned(),
        format!("00-{}-00f067aa0c4902c7-01", "0".repeat(32)),
        format!("00-{id}-{}-01", "0".repeat(16)),
        format!("ff-{id}-00f067aa0c4902c7-01"),
        long.clone(),
    ] {
        let headers = [("traceparent", wrong.as_str()), ("tracestate", long.as_str())];
        assert_eq!(
            caller.call_with("story.logs", &headers, &json!({})).await.status,
            200,
            "{wrong}"
        );
    }
    for right in [&good, &all_flags] {
        let headers = [("traceparent", right.as_str()), ("tracestate", long.as_str())];
        assert_eq!(caller.call_with("story.logs", &headers, &json!({})).await.status, 200);
    }
    process.terminate().await.with_status(0);
    let got = collector.trace(id);
    assert_eq!(got.len(), 2, "{got:?}");
    assert!(got.iter().all(|span| hex(&span.parent_span_id) == "00f067aa0c4902c7"), "{got:?}");
}
