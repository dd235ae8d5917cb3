//! A body answers probes and scrapers.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use e2e::{Body, Fleet, LIMIT, Load, Process};
use serde_json::{Value, json};
use testkit::{eventually, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::interval,
};

use crate::stories;

/// Answer of a body over HTTP.
struct Page {
    status: u16,
    head: String,
    text: String,
}

impl Page {
    #[track_caller]
    fn number(&self, series: &str) -> f64 {
        let found = self.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let number = found.unwrap_or_else(|| panic!("no {series} in\n{}", self.text));
        number.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{series} is {number}"))
    }
}

/// Waits for the HTTP address that the body reports; returns it without `http://`.
async fn address(body: &mut Process) -> String {
    let reported = body.until_told("HTTP: http://").await;
    reported.split("HTTP: http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

async fn try_ask(address: &str, request: &str) -> std::io::Result<Page> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Ok(Page { status, head: head.to_ascii_lowercase(), text: text.to_owned() })
}

async fn get(address: &str, path: &str, accept: &str) -> Page {
    let request = format!("GET {path} HTTP/1.1\r\nHost: body\r\nAccept: {accept}\r\n\r\n");
    within(LIMIT, path, try_ask(address, &request))
        .await
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn metrics(address: &str) -> Page {
    get(address, "/metrics", "*/*").await
}

/// Finds Prometheus' own checker, if this machine has it: in the folder of tools, else in the path.
fn promtool() -> Option<PathBuf> {
    let tools = std::env::var_os("CBS_TOOLS").map(PathBuf::from);
    let cached = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/cbs/tools"));
    let own = tools.or_else(cached).map(|tools| tools.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = own.into_iter().chain(std::env::split_paths(&path)).collect();
    folders.into_iter().map(|folder| folder.join("promtool")).find(|program| program.is_file())
}

async fn check(page: &Page) {
    let Some(program) = promtool() else { return };
    let mut command = Command::new(program);
    command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut checker = command.kill_on_drop(true).spawn().unwrap();
    let mut input = checker.stdin.take().unwrap();
    input.write_all(page.text.as_bytes()).await.unwrap();
    drop(input);
    let done = within(LIMIT, "promtool", checker.wait_with_output()).await.unwrap();
    let said =
        [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(done.status.success() && said.is_empty(), "promtool: {said}\n{}", page.text);
}

/// Checks the rules of every reader of metrics: each line is a sample of the family before it, no
/// sample comes twice.
fn parse(page: &Page) {
    let mut family = String::new();
    let mut seen = std::collections::BTreeSet::new();
    for line in page.text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(seen.insert(format!("# {family}")), "two families are called {family}");
        } else if !line.starts_with('#') {
            let sample = line.split(" # ").next().unwrap();
            let (series, value) = sample.rsplit_once(' ').unwrap();
            assert!(
                series.starts_with(&family) && value.parse::<f64>().is_ok(),
                "{line}, in {family}"
            );
            assert!(seen.insert(series.to_owned()), "{series} comes twice");
        }
    }
}

#[tokio::test]
async fn a_body_tells_scrapers_what_its_cells_did() {
    let fleet = Fleet::start().await;
    let specs =
        stories("one").cell("story.tells", "").cell("story.panics", "").cell("story.frees", "");
    let mut body = fleet.up(&specs.with(&["--http", "0"])).await;
    let address = address(&mut body).await;
    let caller = fleet.caller().await;
    for _ in 0..3 {
        caller.call("story.tells", &json!({})).await;
    }
    caller.call("story.panics", &json!({ "words": [] })).await;

    let page = metrics(&address).await;
    assert!(
        page.status == 200 && page.head.contains("content-type: text/plain; version=0.0.4"),
        "{}",
        page.head
    );
    parse(&page);
    check(&page).await;
    for (series, number) in [
        ("cbs_body_info{body=\"one\",namespace=\"default\"}", 1.0),
        ("cbs_cell_ready{cell=\"story.tells\"}", 1.0),
        ("cbs_calls_total{cell=\"story.tells\",outcome=\"ok\"}", 3.0),
        ("cbs_calls_total{cell=\"story.frees\",outcome=\"ok\"}", 0.0),
        ("cbs_calls_total{cell=\"story.panics\",outcome=\"error\"}", 1.0),
        ("cbs_errors_total{cell=\"story.panics\",code=\"cell-failed\"}", 1.0),
        ("cbs_call_duration_seconds_count{cell=\"story.tells\"}", 3.0),
        ("cbs_call_duration_seconds_bucket{cell=\"story.tells\",le=\"+Inf\"}", 3.0),
        ("cbs_nats_connected", 1.0),
        ("cbs_calls_in_flight{cell=\"story.tells\"}", 0.0),
    ] {
        assert!((page.number(series) - number).abs() < 0.5, "{series} is {}", page.number(series));
    }
    assert!(!page.text.contains("_bucket{cell=\"story.frees\""), "{}", page.text);
    for series in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "cbs_runtime_workers",
        "cbs_runtime_tasks",
    ] {
        assert!(page.number(series) > 0.0, "{series}");
    }

    let open =
        get(&address, "/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
            .await;
    assert!(
        open.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        open.head
    );
    assert!(
        open.text.ends_with("\n# EOF\n") && open.text.contains("# TYPE cbs_calls counter\n"),
        "{}",
        open.text
    );
    parse(&open);
    assert_eq!(get(&address, "/", "*/*").await.status, 404);
    let refused =
        try_ask(&address, "POST /metrics HTTP/1.1\r\nHost: body\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
    assert!(refused.status == 405 && refused.head.contains("allow: get, head"), "{}", refused.head);
    body.terminate().await.with_status(0);
}

#[tokio::test]
async fn a_body_that_lost_nats_is_not_ready_says_why_and_is_ready_by_itself_when_nats_is_back() {
    let mut fleet = Fleet::start().await;
    let mut body = fleet.up(&Body::greeting("one").with(&["--http", ":0"])).await;
    let address = address(&mut body).await;
    let ready = get(&address, "/readyz", "*/*").await;
    assert_eq!((ready.status, ready.text.starts_with("ready\n")), (200, true), "{}", ready.text);
    fleet.server.kill().await;
    eventually("a body that is not ready", LIMIT, async || {
        get(&address, "/readyz", "*/*").await.status == 503
    })
    .await;
    let reported = get(&address, "/readyz", "application/json").await;
    let reported: Value = serde_json::from_str(&reported.text).unwrap();
    assert_eq!(reported["ready"], json!(false));
    let nats = reported["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == json!("nats"))
        .unwrap();
    assert!(nats["reason"].as_str().unwrap().contains("is lost"), "{reported}");
    assert_eq!(get(&address, "/healthz", "*/*").await.status, 200);
    assert!(metrics(&address).await.number("cbs_nats_connected") < 0.5);
    fleet.server.restart().await;
    eventually("a body that is ready", LIMIT, async || {
        get(&address, "/readyz", "*/*").await.status == 200
    })
    .await;
    assert!(metrics(&address).await.number("cbs_nats_reconnections_total") > 0.5);
}

#[tokio::test]
async fn series_of_a_cell_that_is_removed_go_and_those_of_one_that_is_replaced_stay() {
    let fleet = Fleet::start().await;
    let specs = stories("one").cell("story.tells", "").cell("story.frees", "retry: { max: 1 }");
    let mut body = fleet.up(&specs.with(&["--http", "0", "--watch"])).await;
    let address = address(&mut body).await;
    fleet.caller().await.call("story.tells", &json!({})).await;
    assert!(metrics(&address).await.number("cbs_retries_total{cell=\"story.frees\"}") < 0.5);
    std::fs::remove_file(fleet.world.here().join("one/cells/story.frees.yaml")).unwrap();
    let text = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: story.tells }\n\
                spec: { runtime: rust, concurrency: 7 }\n";
    fleet.world.write("one/cells/story.tells.yaml", text);
    let goes = "series of the removed cell to go";
    eventually(goes, LIMIT, async || !metrics(&address).await.text.contains("story.frees")).await;
    body.until_told("replaced cell story.tells").await;
    let page = metrics(&address).await;
    parse(&page);
    assert!(
        (page.number("cbs_calls_total{cell=\"story.tells\",outcome=\"ok\"}") - 1.0).abs() < 0.5
    );
}

#[tokio::test]
async fn a_scrape_every_100_ms_under_load_costs_no_call() {
    let fleet = Fleet::start().await;
    let mut body = fleet.up(&stories("one").cell("story.tells", "").with(&["--http", "0"])).await;
    let address = address(&mut body).await;
    let caller = fleet.caller().await;
    let load = Load::new(&caller, "story.tells", json!({}));
    let scraping = async {
        let mut every = interval(Duration::from_millis(100));
        for _ in 0..30 {
            every.tick().await;
            // Two requests at once: they share a page, or the second waits.
            let (one, other) = tokio::join!(metrics(&address), metrics(&address));
            assert_eq!((one.status, other.status), (200, 200));
        }
    };
    tokio::select! {
        () = load.run(8, usize::MAX) => {}
        () = scraping => {}
    }
    assert_eq!(load.failed(), Vec::<String>::new());
    let counted =
        metrics(&address).await.number("cbs_calls_total{cell=\"story.tells\",outcome=\"ok\"}");
    let answered = u32::try_from(load.answered()).unwrap();
    assert!(
        counted >= f64::from(answered) && answered > 100,
        "{counted} counted, {answered} answered"
    );
}

#[tokio::test]
async fn whoever_asks_slowly_takes_nothing_from_others() {
    let fleet = Fleet::start().await;
    let mut body = fleet.up(&Body::greeting("one").with(&["--http", "0"])).await;
    let address = address(&mut body).await;
    let mut slow = Vec::new();
    // Some clients never end their request, some never read the answer.
    for asked in ["GET /metrics HTTP/1.1\r\nX-", "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"] {
        for _ in 0..80 {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(asked.as_bytes()).await.unwrap();
            slow.push(stream);
        }
        let since = Instant::now();
        assert_eq!(get(&address, "/healthz", "*/*").await.status, 200);
        // Slow connections are cut off after five seconds.
        assert!(
            since.elapsed() < Duration::from_secs(4),
            "a probe waited for {:?}",
            since.elapsed()
        );
    }
    body.terminate().await.with_status(0);
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_before_anything_starts() {
    let fleet = Fleet::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut body =
        fleet.world.start(fleet.command(&Body::greeting("one").with(&["--http", &address])));
    let done = body.ended().await.with_status(2);
    assert!(done.stderr.contains(&address) && done.stderr.contains("--http"), "{}", done.stderr);
    assert!(done.stdout.is_empty(), "{}", done.stdout);
}

#[tokio::test]
async fn a_body_of_a_fleet_tells_how_it_follows() {
    let fleet = Fleet::with_jetstream().await;
    let mut command =
        fleet.command(&Body::without_files("one").with(&["--http", "0", "--format", "json"]));
    command.env("NO_COLOR", "1");
    let mut body = fleet.world.start(command);
    let address = address(&mut body).await;
    let printed = body.until_printed("\"http\"").await;
    assert!(printed.contains(&format!("http://{address}")), "{printed}");
    eventually("a body that follows", LIMIT, async || {
        let page = metrics(&address).await;
        page.text.contains("cbs_fleet_following 1\n")
    })
    .await;
    let ready = get(&address, "/readyz", "*/*").await;
    assert!(ready.status == 200 && ready.text.contains("\nfleet: ok\n"), "{}", ready.text);
    let page = metrics(&address).await;
    parse(&page);
    assert!(page.number("cbs_fleet_head_number") < 0.5 && page.number("cbs_fleet_troubles") < 0.5);
}
