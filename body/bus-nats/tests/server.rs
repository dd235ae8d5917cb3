//! The server that a body starts: ready when it reports so, and gone when its owner is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::Duration,
};

use bus_nats::server::{Server, Settings, StartError};
use nix::{sys::signal, unistd::Pid};
use testkit::{eventually, within};

const LONG: Duration = Duration::from_secs(20);

async fn start(settings: Settings) -> Result<Server, StartError> {
    within(LONG, "the start of a server", Server::start(settings)).await
}

fn runs(pid: u32) -> bool {
    signal::kill(Pid::from_raw(pid.cast_signed()), None).is_ok()
}

#[tokio::test]
async fn a_started_server_answers_and_a_stopped_one_is_gone() {
    let server = start(Settings::default()).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(client.server_info().max_payload, bus_nats::server::MAX_PAYLOAD_DEFAULT);
    assert!(!client.server_info().jetstream);
    let pid = server.pid();
    within(LONG, "the stop", server.stop()).await;
    assert!(!runs(pid));
}

#[tokio::test]
async fn dropping_a_server_kills_even_a_stopped_one() {
    let server = start(Settings::default()).await.unwrap();
    let pid = server.pid();
    signal::kill(Pid::from_raw(pid.cast_signed()), signal::Signal::SIGSTOP).unwrap();
    drop(server);
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_server_that_somebody_else_kills_says_how_it_ended() {
    let server = start(Settings::default()).await.unwrap();
    signal::kill(Pid::from_raw(server.pid().cast_signed()), signal::Signal::SIGKILL).unwrap();
    let how = within(LONG, "the end", server.ended()).await;
    assert_eq!(how, "killed by SIGKILL");
}

#[tokio::test]
async fn what_jetstream_stores_is_there_after_a_restart_on_the_same_port() {
    let folder = tempfile::tempdir().unwrap();
    let store = Some(folder.path().join("a \"store\" of $ours"));
    let server = start(Settings { store, ..Settings::default() }).await.unwrap();
    let url = server.url().to_owned();
    let port = server.port();
    let client = async_nats::connect(&url).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let stream =
        async_nats::jetstream::stream::Config { name: "kept".into(), ..Default::default() };
    jetstream.create_stream(stream).await.unwrap();
    jetstream.publish("kept", "value".into()).await.unwrap().await.unwrap();

    let again = Settings { port: Some(port), ..server.settings().clone() };
    let taken = start(Settings { port: None, ..again.clone() }).await.unwrap_err();
    assert!(matches!(taken, StartError::StoreTaken(_)), "{taken}");
    server.kill().await;
    let server = start(again).await.unwrap();
    assert_eq!(server.url(), url);
    let client = async_nats::connect(&url).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("kept").await.unwrap();
    assert_eq!(stream.get_raw_message(1).await.unwrap().payload, "value");
}

#[tokio::test]
async fn a_taken_port_is_told_at_once() {
    let first = start(Settings::default()).await.unwrap();
    let error =
        start(Settings { port: Some(first.port()), ..Settings::default() }).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "port {} of 127.0.0.1 is taken: stop what listens there, or choose another port",
            first.port()
        )
    );
}

#[tokio::test]
async fn a_configuration_that_the_server_refuses_is_told_with_its_words() {
    let extra = "no_such_setting: 1\n".to_owned();
    let error = start(Settings { extra, ..Settings::default() }).await.unwrap_err();
    assert!(error.to_string().contains("unknown field \"no_such_setting\""), "{error}");
}

#[tokio::test]
async fn extra_configuration_holds_and_wins() {
    let extra = "max_payload: 2048\nauthorization { user: ada, password: secret }\n".to_owned();
    let server = start(Settings { extra, ..Settings::default() }).await.unwrap();
    assert!(async_nats::connect(server.url()).await.is_err());
    let options = async_nats::ConnectOptions::with_user_and_password("ada".into(), "secret".into());
    let client = options.connect(server.url()).await.unwrap();
    assert_eq!(client.server_info().max_payload, 2048);
}

#[tokio::test]
async fn a_program_that_is_none_is_named() {
    let program = Some("/nowhere/nats-server".into());
    let error = start(Settings { program, ..Settings::default() }).await.unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/nats-server cannot be run: "), "{error}");
}

/// Process that the test below starts: a body that starts a server and keeps running.
#[tokio::test]
#[ignore = "started by the_server_dies_with_its_parent_even_on_kill_9"]
async fn a_parent_for_the_next_test() {
    let server = start(Settings::default()).await.unwrap();
    println!("\npid {}", server.pid());
    // Until the test kills this process, or closes its standard input by its own end.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await;
}

#[tokio::test]
async fn the_server_dies_with_its_parent_even_on_kill_9() {
    // A killed process leaves its folders behind: inside this folder they are removed with the
    // test.
    let folder = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_parent_for_the_next_test", "--ignored", "--nocapture"])
        .env("TMPDIR", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let pid = within(
        LONG,
        "the pid of the other process's server",
        tokio::task::spawn_blocking(|| {
            lines
                .map_while(Result::ok)
                .find_map(|line| line.strip_prefix("pid ")?.parse::<u32>().ok())
        }),
    )
    .await
    .unwrap()
    .unwrap();
    assert!(runs(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("the server has gone with its parent", LONG, async || !runs(pid)).await;
}
