//! Choice of the NATS server, and the messages if there is none.

use std::time::{Duration, Instant};

use testkit::NatsServer;

use crate::support::{World, finish, greeting_specs};

const PASSWORD: &str = "authorization { user: ada, password: secret }";

#[tokio::test]
async fn a_wrong_address_is_one_line_and_status_2() {
    let world = World::new();
    for url in ["nats://127.0.0.1:1", "nats://no-such-host.invalid:4222", "http://"] {
        for command in [
            &["ls"][..],
            &["call", "logic.greet"],
            &["demo", "--name", "Ada"],
            &["up", &greeting_specs()],
        ] {
            let done = world.run(&[command, &["--nats", url]].concat()).await.with_status(2);
            assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
            assert!(done.stderr.starts_with("error: "), "{}", done.stderr);
        }
    }
}

#[tokio::test]
async fn a_scheme_that_is_not_spoken_is_refused_at_once() {
    // Takes connections, and says nothing: whoever waits for a greeting waits for long.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let world = World::new();
    for (written, words) in [
        ("ws://", "ws:// is not spoken here"),
        ("WSS://", "wss:// is not spoken here"),
        ("http://", "http:// is for web servers"),
        ("https://", "https:// is for web servers"),
        ("nat://", "nat:// is not spoken here"),
        ("nats:/", "has a path"),
        ("nats//", "has a path"),
    ] {
        let since = Instant::now();
        let done = world
            .run(&["call", "x.y", "--nats", &format!("{written}{address}")])
            .await
            .with_status(2);
        assert!(done.stderr.contains(words), "{written}: {}", done.stderr);
        assert!(done.stderr.contains("write nats://"), "{written}: {}", done.stderr);
        assert!(since.elapsed() < Duration::from_secs(4), "{written}: {:?}", since.elapsed());
    }
}

#[tokio::test]
async fn a_command_waits_no_longer_for_a_server_than_its_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    let world = World::new();
    for command in
        [&["call", "logic.greet"][..], &["flow", "run", "greeting"], &["undeploy", "logic.greet"]]
    {
        let since = Instant::now();
        world
            .run(&[command, &["--timeout", "300ms", "--nats", &url]].concat())
            .await
            .with_status(2);
        assert!(since.elapsed() < Duration::from_secs(4), "{command:?}: {:?}", since.elapsed());
    }
}

#[tokio::test]
async fn a_deploy_waits_for_a_server_that_is_being_started() {
    let world = World::new();
    // A port that refuses until the server has it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("nats://127.0.0.1:{port}");
    let mut deploy = world.start(&[
        "deploy",
        &greeting_specs(),
        "--timeout",
        "20s",
        "--wait",
        "false",
        "--nats",
        &url,
    ]);
    deploy.until_told("trying again for 20 s").await;
    let store = Some(world.here().join("store"));
    let settings = bus_nats::server::Settings { port: Some(port), store, ..Default::default() };
    let server = bus_nats::server::Server::start(settings).await.unwrap();
    let (status, stdout, stderr) = deploy.ended().await;
    assert_eq!(status.code(), Some(0), "{stdout}\n{stderr}");
    drop(server);
    let since = Instant::now();
    world
        .run(&["rollback", "--timeout", "1s", "--nats", "nats://127.0.0.1:1"])
        .await
        .with_status(2);
    let took = since.elapsed();
    assert!(took > Duration::from_millis(400) && took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn a_wrong_password_is_one_line_and_status_2_and_the_right_one_works() {
    let server = NatsServer::with_config(PASSWORD).await;
    let world = World::new();
    for wrong in [&[][..], &["--user", "ada", "--password", "wrong"]] {
        let done =
            world.run(&[&["ls", "--nats", server.url()], wrong].concat()).await.with_status(2);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        assert!(done.stderr.contains("refuses the credentials"), "{}", done.stderr);
        assert!(!done.stderr.contains("wrong"), "{}", done.stderr);
    }
    let arguments = ["demo", "--name", "Ada", "--nats", server.url()];
    world
        .run(&[&arguments[..], &["--user", "ada", "--password", "secret"]].concat())
        .await
        .with_status(0);
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
    let world = World::new();
    let elsewhere = World::new();
    let mut body = world.start(&["up", &greeting_specs()]);
    body.until("try: ").await;
    let call = ["call", "logic.greet", r#"{"name":"Ada"}"#];
    assert_eq!(world.run(&call).await.with_status(0).stdout, "{\"text\":\"Hello, Ada!\"}\n");
    // Another folder does not find it; somebody's server at the usual port, if there is one, has no
    // such cell.
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
    let reported = body.until("try: ").await;
    let url =
        reported.split_whitespace().find(|word| word.starts_with("nats://")).unwrap().to_owned();
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
