//! Credentials: permission to connect to a server.

use e2e::{Body, Fleet};

const PASSWORD: &str = "authorization { user: ada, password: sesame }\n";
const CALL: [&str; 3] = ["call", "logic.greet", r#"{"name":"Ada"}"#];

#[tokio::test]
async fn a_wrong_password_is_one_line_and_status_2_and_no_secret_is_shown() {
    let fleet = Fleet::with_config(PASSWORD).await;
    let mut up = fleet.command(&Body::greeting("one"));
    up.envs([("NATS_USER", "ada"), ("NATS_PASSWORD", "rhubarb")]);
    let named = format!("nats://ada:rhubarb@127.0.0.1:{}", fleet.server.port());
    let call = fleet.world.cbs(&[&CALL[..], &["--nats", &named]].concat());
    for command in [up, call] {
        let done = fleet.world.finish(command).await.with_status(2);
        assert_eq!((done.stderr.lines().count(), done.stdout.as_str()), (1, ""), "{}", done.stderr);
        assert!(
            done.stderr.starts_with("error: ") && !done.stderr.contains("rhubarb"),
            "{}",
            done.stderr
        );
    }
}

#[tokio::test]
async fn the_right_password_works_by_environment_and_by_address() {
    let fleet = Fleet::with_config(PASSWORD).await;
    let mut up = fleet.command(&Body::greeting("one"));
    up.envs([("NATS_USER", "ada"), ("NATS_PASSWORD", "sesame")]);
    let mut body = fleet.world.start(up);
    let printed = body.until_printed("body one, namespace ").await;
    let named = format!("nats://ada:sesame@127.0.0.1:{}", fleet.server.port());
    let done = fleet.world.run(&[&CALL[..], &["--nats", &named]].concat()).await.with_status(0);
    assert_eq!(done.stdout, "{\"text\":\"Hello, Ada!\"}\n");
    let done = body.terminate().await.with_status(0);
    assert!(!format!("{printed}{}", done.stderr).contains("sesame"), "{}", done.stderr);
}
