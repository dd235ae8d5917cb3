//! `cbs call`, `flow run`, `ls` and `describe`, against a body.

use serde_json::{Value, json};
use testkit::NatsServer;

use crate::support::{Running, World, greeting_specs};

/// A server, a body on it, and a world whose commands connect to both with `--nats`.
struct Greeting {
    server: NatsServer,
    world: World,
    _body: Running,
}

impl Greeting {
    async fn start() -> Self {
        let server = NatsServer::start().await;
        let world = World::new();
        let mut body =
            world.start(&["up", &greeting_specs(), "--nats", server.url(), "--body", "web1"]);
        body.until("try: ").await;
        Self { server, world, _body: body }
    }

    async fn run(&self, arguments: &[&str]) -> crate::support::Done {
        self.world.run(&[arguments, &["--nats", self.server.url()]].concat()).await
    }
}

#[tokio::test]
async fn a_call_prints_the_answer_as_it_came() {
    let greeting = Greeting::start().await;
    let done = greeting.run(&["call", "logic.greet", r#"{"name":"Ada"}"#]).await.with_status(0);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("{\"text\":\"Hello, Ada!\"}\n", ""));
    let url = greeting.server.url();
    let done = greeting
        .world
        .run_with_input(&["call", "logic.greet", "-", "--nats", url], r#"{"name":"Lin"}"#)
        .await;
    assert_eq!(done.with_status(0).stdout, "{\"text\":\"Hello, Lin!\"}\n");
}

#[tokio::test]
async fn a_negative_number_is_an_input_and_no_option() {
    let greeting = Greeting::start().await;
    for number in ["-5", "-0", "-1.5", "-1e3"] {
        for command in [&["call", "logic.greet", number][..], &["flow", "run", "greeting", number]]
        {
            let done = greeting.run(command).await.with_status(1);
            assert!(!done.stderr.contains("unexpected argument"), "{command:?}: {}", done.stderr);
        }
    }
    greeting.run(&["call", "logic.greet", "--nonsense"]).await.with_status(64);
}

#[tokio::test]
async fn an_error_is_told_with_its_code_and_details() {
    let greeting = Greeting::start().await;
    let done = greeting.run(&["call", "logic.greet", r#"{"nam":1}"#]).await.with_status(1);
    assert_eq!(done.stdout, "");
    assert!(done.stderr.starts_with("bad-request: /name"), "{}", done.stderr);
    assert!(done.stderr.contains("demo/v1/Name"), "{}", done.stderr);
    let done =
        greeting.run(&["call", "logic.greet", "{}", "--format", "json"]).await.with_status(1);
    let error: Value = serde_json::from_str(&done.stderr).unwrap();
    assert_eq!(error["code"], "bad-request");
}

#[tokio::test]
async fn a_cell_that_nobody_serves_is_not_found_long_before_the_deadline() {
    let greeting = Greeting::start().await;
    // Longer than the end of a command is waited for.
    let done = greeting.run(&["call", "nobody.home", "{}", "--timeout", "5m"]).await.with_status(1);
    assert!(done.stderr.starts_with("not-found: "), "{}", done.stderr);
}

#[tokio::test]
async fn a_flow_runs_where_it_is_hosted() {
    let greeting = Greeting::start().await;
    let done = greeting.run(&["flow", "run", "greeting", r#"{"name":"Ada"}"#]).await.with_status(0);
    assert_eq!(done.stdout, "{\"text\":\"Hello, Ada!\"}\n");
    let done = greeting.run(&["flow", "run", "parting"]).await.with_status(1);
    assert!(done.stderr.starts_with("not-found: "), "{}", done.stderr);
}

#[tokio::test]
async fn ls_and_describe_tell_what_runs_and_how_often_it_was_called() {
    let greeting = Greeting::start().await;
    greeting.run(&["call", "logic.greet", r#"{"name":"Ada"}"#]).await.with_status(0);
    greeting.run(&["call", "logic.greet", "{}"]).await.with_status(1);
    let done = greeting.run(&["ls", "--format", "json"]).await.with_status(0);
    let listed: Value = serde_json::from_str(&done.stdout).unwrap();
    let targets: Vec<_> =
        listed.as_array().unwrap().iter().map(|endpoint| endpoint["target"].clone()).collect();
    assert_eq!(
        targets,
        ["cell io.print_greeting", "cell io.prompt_name", "cell logic.greet", "flow greeting"]
    );
    let greet = &listed[2];
    assert_eq!(
        (&greet["calls"], &greet["errors"], &greet["body"]),
        (&json!(2), &json!(1), &json!("web1"))
    );

    let table = greeting.run(&["ls"]).await.with_status(0).stdout;
    assert!(table.starts_with("TARGET ") && table.contains("cell logic.greet"), "{table}");
    let described = greeting.run(&["describe", "logic.greet"]).await.with_status(0).stdout;
    for words in [
        "Turns a name into a greeting.",
        "cbs.default.cell.logic.greet",
        "demo/v1/Greeting",
        "web1",
    ] {
        assert!(described.contains(words), "{words} is not in:\n{described}");
    }
    greeting.run(&["describe", "greeting"]).await.with_status(0);
    let done = greeting.run(&["describe", "nobody.home"]).await.with_status(1);
    assert!(done.stderr.contains("nobody serves cell nobody.home"), "{}", done.stderr);
}

#[tokio::test]
async fn another_namespace_sees_nothing() {
    let greeting = Greeting::start().await;
    let done =
        greeting.run(&["ls", "--namespace", "other", "--format", "json"]).await.with_status(0);
    assert_eq!(done.stdout, "[]\n");
    greeting
        .run(&["call", "logic.greet", r#"{"name":"Ada"}"#, "--namespace", "other"])
        .await
        .with_status(1);
}
