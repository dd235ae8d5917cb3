//! `cbs demo`.

use testkit::NatsServer;

use crate::support::{World, finish, usual_server};

#[tokio::test]
async fn the_demo_greets_over_a_server_of_its_own_and_tells_every_step() {
    let done = World::new().run(&["demo", "--name", "Ada"]).await.with_status(0);
    assert_eq!(done.stdout, "Hello, Ada!\n");
    let mut lines = done.stderr.lines();
    let first = lines.next().unwrap();
    assert!(
        first.starts_with("NATS server 2.") && first.contains("started by this program"),
        "{first}"
    );
    assert!(first.contains("namespace demo-"), "{first}");
    for cell in ["io.prompt_name", "logic.greet", "io.print_greeting"] {
        let line = lines.next().unwrap();
        for word in [cell, "rust", "nats", "s"] {
            assert!(line.contains(word), "{word} is not in: {line}");
        }
    }
}

#[tokio::test]
async fn the_demo_greets_over_the_server_that_is_named() {
    let server = NatsServer::start().await;
    let done =
        World::new().run(&["demo", "--name", "Ada", "--nats", server.url()]).await.with_status(0);
    assert_eq!(done.stdout, "Hello, Ada!\n");
    assert!(done.stderr.contains(server.url()), "{}", done.stderr);
}

#[tokio::test]
async fn the_demo_answers_a_program_in_json() {
    let done =
        World::new().run(&["demo", "--name", "Ada", "--format", "json"]).await.with_status(0);
    assert_eq!(done.stdout, "{\"text\":\"Hello, Ada!\"}\n");
}

#[tokio::test]
async fn a_piped_line_is_the_name() {
    let done = World::new().run_with_input(&["demo"], "Grace\nHopper\n").await.with_status(0);
    assert_eq!(done.stdout, "Hello, Grace!\n");
}

#[tokio::test]
async fn without_a_name_the_user_is_greeted_and_without_a_user_the_world() {
    let world = World::new();
    let mut command = world.command(&["demo"]);
    command.env("USER", "lin");
    assert_eq!(finish(command).await.with_status(0).stdout, "Hello, lin!\n");
    let mut command = world.command(&["demo"]);
    command.env_remove("USER");
    assert_eq!(finish(command).await.with_status(0).stdout, "Hello, world!\n");
}

#[tokio::test]
async fn a_name_that_is_none_fails_with_its_reason() {
    let done = World::new().run(&["demo", "--name", ""]).await.with_status(1);
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains("bad-request:"), "{}", done.stderr);
}

#[tokio::test]
async fn without_a_server_program_the_demo_takes_the_usual_server_or_runs_in_process_and_says_what_is_missing()
 {
    let world = World::new();
    let mut command = world.command(&["demo", "--name", "Ada"]);
    command.env("CBS_NATS_SERVER", "/nowhere/nats-server");
    let done = finish(command).await.with_status(0);
    assert_eq!(done.stdout, "Hello, Ada!\n");
    let first = if usual_server().await {
        "NATS server "
    } else {
        "in process, without NATS: no program at /nowhere/nats-server"
    };
    assert!(done.stderr.starts_with(first), "{}", done.stderr);
}

#[tokio::test]
async fn the_demo_leaves_nothing_behind() {
    let world = World::new();
    world.run(&["demo", "--name", "Ada"]).await.with_status(0);
    assert_eq!(std::fs::read_dir(world.here()).unwrap().count(), 0);
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn an_interrupted_demo_ends_at_once() {
    let world = World::new();
    let mut demo = world.start(&["demo"]);
    demo.until_told("namespace demo-").await;
    demo.signal(nix::sys::signal::Signal::SIGINT);
    let (status, stdout, stderr) = demo.ended().await;
    assert_eq!((status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("stopped by SIGINT"), "{stderr}");
}
