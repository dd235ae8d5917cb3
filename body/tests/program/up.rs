//! `cbs up`: its table, its signals, its end.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::NatsServer;

use crate::support::{LIMIT, Running, World, greeting_specs};

/// Returns a flow that waits for this long, then answers.
fn waiting(wait: &str) -> String {
    format!(
        "apiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: {{ name: waiting }}\nspec:\n  timeout: 5m\n  steps:\n    \
         - id: wait\n      call: nobody.home\n      external: true\n      retry: {{ max: 1, backoff: {wait}, max_backoff: {wait} }}\n      \
         catch: {{ with: waited }}\n"
    )
}

/// Starts a body with that flow, in the middle of a run that a caller waits for.
async fn in_the_middle_of_a_run(
    world: &World,
    server: &NatsServer,
    wait: &str,
    more: &[&str],
) -> (Running, Running) {
    world.write("waiting.yaml", &waiting(wait));
    let mut body = world.start(&[&["up", "waiting.yaml", "--nats", server.url()], more].concat());
    body.until("waiting").await;
    let caller = begun(world, server).await;
    (body, caller)
}

/// Starts the caller of that flow, and returns it when its run has begun.
async fn begun(world: &World, server: &NatsServer) -> Running {
    let caller = world.start(&["flow", "run", "waiting", "--nats", server.url()]);
    testkit::eventually("the run has begun", LIMIT, async || {
        let listed =
            world.run(&["ls", "--format", "json", "--nats", server.url()]).await.with_status(0);
        let listed: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
        listed.iter().any(|target| target["in_flight"] == 1)
    })
    .await;
    caller
}

#[tokio::test]
async fn the_table_the_address_and_the_call_to_paste() {
    let server = NatsServer::start().await;
    let world = World::new();
    let mut body =
        world.start(&["up", &greeting_specs(), "--nats", server.url(), "--body", "web1"]);
    let reported = body.until("try: ").await;
    for line in [
        "CELL               LANGUAGE  SUBJECT                             STATE",
        "logic.greet        rust      cbs.default.cell.logic.greet        ready",
        "flow greeting      yaml      cbs.default.flow.greeting           ready",
        &format!("body web1, namespace default, NATS {}", server.url()),
        &format!("try: cbs call logic.greet '{{\"name\":\"Ada\"}}' --nats {}", server.url()),
    ] {
        assert!(
            reported.lines().any(|reported| reported == line),
            "{line}\nis not in:\n{reported}"
        );
    }
}

#[tokio::test]
async fn a_program_is_told_the_same_as_data() {
    let world = World::new();
    let mut body =
        world.start(&["up", &greeting_specs(), "--format", "json", "--namespace", "test"]);
    let reported: Value = serde_json::from_str(&body.until_exactly("}").await).unwrap();
    assert_eq!(
        (reported["namespace"].as_str(), reported["targets"].as_array().unwrap().len()),
        (Some("test"), 4)
    );
    assert!(reported["nats"].as_str().unwrap().starts_with("nats://127.0.0.1:"));
    assert!(
        reported["targets"].as_array().unwrap().iter().all(|target| target["state"] == "ready")
    );
}

#[tokio::test]
async fn printed_lines_go_to_standard_output() {
    let world = World::new();
    let mut body = world.start(&["up", &greeting_specs()]);
    body.until("try: ").await;
    world.run(&["flow", "run", "greeting", r#"{"name":"Ada"}"#]).await.with_status(0);
    assert_eq!(body.until("Hello").await.lines().next_back(), Some("Hello, Ada!"));
}

#[tokio::test]
async fn a_signal_ends_an_idle_body_at_once_with_status_0() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let world = World::new();
        let mut body = world.start(&["up", &greeting_specs()]);
        body.until("try: ").await;
        body.signal(signal);
        // Its end is waited for by less than what runs would have had to finish.
        let (status, _, stderr) = body.ended().await;
        assert_eq!(status.code(), Some(0), "{stderr}");
    }
}

#[tokio::test]
async fn a_body_finishes_what_runs_before_it_ends() {
    let server = NatsServer::start().await;
    let world = World::new();
    let (body, caller) = in_the_middle_of_a_run(&world, &server, "6s", &[]).await;
    body.signal(Signal::SIGTERM);
    let (status, stdout, stderr) = caller.ended().await;
    assert_eq!((status.code(), stdout.as_str()), (Some(0), "\"waited\"\n"), "{stderr}");
    assert_eq!(body.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_soon_after_the_first_is_the_same_wish() {
    let server = NatsServer::start().await;
    let world = World::new();
    let (mut body, caller) = in_the_middle_of_a_run(&world, &server, "2s", &[]).await;
    body.signal(Signal::SIGTERM);
    body.until_told("again stops at once").await;
    // As a shell's Ctrl-C and a process manager's signal that come together.
    body.signal(Signal::SIGTERM);
    body.signal(Signal::SIGINT);
    let (status, stdout, stderr) = caller.ended().await;
    assert_eq!((status.code(), stdout.as_str()), (Some(0), "\"waited\"\n"), "{stderr}");
    assert_eq!(body.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_body_without_a_home_starts() {
    let world = World::new();
    let server = NatsServer::start().await;
    for home in [None, Some("")] {
        let mut command = world.command(&["up", &greeting_specs(), "--nats", server.url()]);
        for name in ["HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "CBS_TOOLS"] {
            command.env_remove(name);
        }
        command.envs(home.map(|home| ("HOME", home)));
        let mut body = world.start_command(command);
        body.until("try: ").await;
        body.signal(Signal::SIGTERM);
        assert_eq!(body.ended().await.0.code(), Some(0));
    }
}

#[tokio::test]
async fn the_address_that_is_printed_can_be_pasted() {
    let server = NatsServer::start().await;
    let world = World::new();
    let port = server.url().rsplit_once(':').unwrap().1;
    for named in [
        format!(" {}\n", server.url()),
        format!("{}?x=1", server.url()),
        format!("{}, nats://127.0.0.1:{port},", server.url()),
        format!("127.0.0.1:{port}"),
    ] {
        let mut command = world.command(&["up", &greeting_specs()]);
        command.env("NATS_URL", &named);
        let mut body = world.start_command(command);
        let reported = body.until("try: ").await;
        let line = reported.lines().find_map(|line| line.strip_prefix("try: ")).unwrap();
        let words = shlex::split(line).unwrap();
        assert_eq!(words.first().map(String::as_str), Some("cbs"), "{line}");
        let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        let done = world.run(&words).await.with_status(0);
        assert_eq!(done.stdout, "{\"text\":\"Hello, Ada!\"}\n", "{line}");
        assert!(words.last().is_some_and(|address| address.ends_with(server.url())), "{line}");
    }
}

#[tokio::test]
async fn a_signal_while_a_cell_is_being_started_loses_no_call_of_the_others() {
    let server = NatsServer::start().await;
    let world = World::new();
    world.write("waiting.yaml", &waiting("2s"));
    world.write(
        "slow.yaml",
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.slow }\nspec: { runtime: exec, command: [sleep, '60'] }\n",
    );
    let body = world.start(&["up", "waiting.yaml", "slow.yaml", "--nats", server.url()]);
    testkit::eventually("the flow is served", LIMIT, async || {
        let listed = world.run(&["ls", "--format", "json", "--nats", server.url()]).await;
        listed.stdout.contains("waiting")
    })
    .await;
    let caller = begun(&world, &server).await;
    body.signal(Signal::SIGTERM);
    let (status, stdout, stderr) = caller.ended().await;
    assert_eq!((status.code(), stdout.as_str()), (Some(0), "\"waited\"\n"), "{stderr}");
    let (status, stdout, stderr) = body.ended().await;
    assert_eq!((status.code(), stdout.as_str()), (Some(0), ""), "{stderr}");
}

#[tokio::test]
async fn a_second_signal_stops_now() {
    let server = NatsServer::start().await;
    let world = World::new();
    let (mut body, _caller) = in_the_middle_of_a_run(&world, &server, "2m", &[]).await;
    body.signal(Signal::SIGINT);
    body.until_told("again stops at once").await;
    // sleep: within a second it would be the same wish.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    body.signal(Signal::SIGINT);
    let (status, _, stderr) = body.ended().await;
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stopped at once"), "{stderr}");
}

#[tokio::test]
async fn the_time_to_finish_has_an_end() {
    let server = NatsServer::start().await;
    let world = World::new();
    let (body, _caller) =
        in_the_middle_of_a_run(&world, &server, "2m", &["--drain-timeout", "200ms"]).await;
    body.signal(Signal::SIGTERM);
    let (status, _, stderr) = body.ended().await;
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("not finished within"), "{stderr}");
}

#[tokio::test]
async fn broken_specs_start_nothing() {
    let world = World::new();
    world.write(
        "specs/cells/a.yaml",
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: a }\nspec: { runtme: rust }\n",
    );
    let done = world.run(&["up", "specs"]).await.with_status(1);
    assert_eq!(done.stdout, "");
    for words in [
        "specs/cells/a.yaml:3:19:",
        "specs/cells/a.yaml:4:9:",
        "3 mistakes in 1 file; nothing was started",
    ] {
        assert!(done.stderr.contains(words), "{words} is not in:\n{}", done.stderr);
    }
    assert!(!world.here().join(".cbs").exists());
    world.run(&["up", "nowhere"]).await.with_status(2);
}

#[tokio::test]
async fn what_cannot_run_here_is_shown_and_the_rest_runs() {
    let world = World::new();
    world.write(
        "specs/cells/a.yaml",
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: logic.greet }\nspec: { runtime: rust }\n",
    );
    world.write(
        "specs/cells/b.yaml",
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: logic.other }\nspec: { runtime: rust }\n",
    );
    let exec = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: logic.exec }\nspec: { runtime: exec, command: [cat] }\n";
    world.write("specs/cells/c.yaml", exec);
    let mut body = world.start(&["up", "specs"]);
    let reported = body.until("body ").await;
    assert!(!reported.contains("try: "), "no schema says what logic.greet takes: {reported}");
    let state =
        |name: &str| reported.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(state("logic.greet ").ends_with(" ready"), "{reported}");
    assert!(
        state("logic.other ").contains("cannot run: no Rust cell `logic.other` is linked"),
        "{reported}"
    );
    assert!(state("logic.exec ").contains("exited with 0 before it said hello"), "{reported}");
    body.until_told("1 of 3 cannot run in this body").await;
    world.run(&["call", "logic.greet", r#"{"name":"Ada"}"#]).await.with_status(0);
}

#[tokio::test]
async fn a_body_outlives_its_server_and_serves_again_when_it_is_back() {
    let mut server = NatsServer::start().await;
    let world = World::new();
    let mut body = world.start(&["up", &greeting_specs(), "--nats", server.url()]);
    body.until("try: ").await;
    server.kill().await;
    body.until_told("the connection to NATS is lost").await;
    server.restart().await;
    testkit::eventually("the body serves again", LIMIT, async || {
        world
            .run(&["call", "logic.greet", r#"{"name":"Ada"}"#, "--nats", server.url()])
            .await
            .status
            == 0
    })
    .await;
    server.kill().await;
    body.until_told("the connection to NATS is lost").await;
    body.signal(Signal::SIGTERM);
    let (status, _, stderr) = body.ended().await;
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[tokio::test]
async fn a_server_of_our_own_that_dies_is_started_again() {
    let world = World::new();
    let mut body = world.start(&["up", &greeting_specs()]);
    body.until("try: ").await;
    let server = children_of(body.pid().as_raw());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(server), Signal::SIGKILL).unwrap();
    body.until_told("starting it again").await;
    testkit::eventually("the body serves again", LIMIT, async || {
        world.run(&["call", "logic.greet", r#"{"name":"Ada"}"#]).await.status == 0
    })
    .await;
    body.signal(Signal::SIGTERM);
    assert_eq!(body.ended().await.0.code(), Some(0));
}

/// Returns the one child process of a process.
fn children_of(pid: i32) -> i32 {
    let of = |entry: std::fs::DirEntry| {
        let child: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        let parent: i32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        (parent == pid).then_some(child)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .find_map(of)
        .expect("a child process")
}
