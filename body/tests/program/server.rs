//! Which NATS server, and what is told where there is none.

use testkit::NatsServer;

use crate::support::{World, finish, greeting_specs};

const PASSWORD: &str = "authorization { user: ada, password: secret }";

#[tokio::test]
async fn a_wrong_address_is_one_line_and_status_2() {
    let world = World::new();
    for url in ["nats://127.0.0.1:1", "nats://no-such-host.invalid:4222", "http://"] {
        for command in [&["ls"][..], &["call", "logic.greet"], &["demo", "--name", "Ada"], &["up", &greeting_specs()]] {
            let done = world.run(&[command, &["--nats", url]].concat()).await.with_status(2);
            assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
            assert!(done.stderr.starts_with("error: "), "{}", done.stderr);
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_one_line_and_status_2_and_the_right_one_works() {
    let (server, world) = (NatsServer::with_config(PASSWORD).await, World::new());
    for wrong in [&[][..], &["--user", "ada", "--password", "wrong"]] {
        let done = world.run(&[&["ls", "--nats", server.url()], wrong].concat()).await.with_status(2);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        assert!(done.stderr.contains("refuses the credentials"), "{}", done.stderr);
        assert!(!done.stderr.contains("wrong"), "{}", done.stderr);
    }
    let arguments = ["demo", "--name", "Ada", "--nats", server.url()];
    world.run(&[&arguments[..], &["--user", "ada", "--password", "secret"]].concat()).await.with_status(0);
    let mut command = world.command(&arguments);
    command.envs([("NATS_USER", "ada"), ("NATS_PASSWORD", "secret")]);
    assert_eq!(finish(command).await.with_status(0).stdout, "Hello, Ada!\n");
    let mut command = world.command(&["demo", "--name", "Ada"]);
    command.env("NATS_URL", format!("nats://ada:secret@127.0.0.1:{}", server.port()));
    let done = finish(command).await.with_status(0);
    assert!(!done.stderr.contains("secret"), "{}", done.stderr);
}

#[tokio::test]
async fn commands_of_the_same_folder_find_the_server_that_up_has_started() {
    let (world, elsewhere) = (World::new(), World::new());
    let mut body = world.start(&["up", &greeting_specs()]);
    body.until("try: ").await;
    let call = ["call", "logic.greet", r#"{"name":"Ada"}"#];
    assert_eq!(world.run(&call).await.with_status(0).stdout, "{\"text\":\"Hello, Ada!\"}\n");
    // Another folder does not find it; somebody's server at the usual port, if there is one, has no such cell.
    assert_ne!(elsewhere.run(&call).await.status, 0);
    assert_eq!(world.runs(), 1);

    // A second body joins the first one's server.
    let mut second = world.start(&["up", &greeting_specs(), "--body", "second"]);
    second.until("try: ").await;
    testkit::eventually("both bodies are listed", crate::support::LIMIT, async || {
        let listed = world.run(&["ls"]).await.with_status(0).stdout;
        listed.contains("second") && listed.lines().count() == 9
    })
    .await;
    second.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(second.ended().await.0.success());
    assert_eq!(world.runs(), 1);

    body.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(body.ended().await.0.success());
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn the_address_of_a_killed_body_is_stale_and_is_ignored() {
    let world = World::new();
    let mut body = world.start(&["up", &greeting_specs()]);
    let told = body.until("try: ").await;
    let url = told.split_whitespace().find(|word| word.starts_with("nats://")).unwrap().to_owned();
    body.signal(nix::sys::signal::Signal::SIGKILL);
    body.ended().await;
    let port = url.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    // The server goes with its body.
    testkit::eventually("the server has gone", crate::support::LIMIT, async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err()
    })
    .await;
    let done = world.run(&["ls"]).await;
    assert!(!done.stderr.contains(&url), "{}", done.stderr);
    assert_eq!(world.runs(), 0);
}
