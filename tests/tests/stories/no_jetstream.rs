//! Something is missing: no cell, no server, no nats-server program.

use std::time::{Duration, Instant};

use e2e::{Body, Fleet, World, somebody_at_the_usual_port};

#[tokio::test]
async fn a_call_of_a_cell_that_nobody_serves_fails_long_before_its_deadline() {
    let fleet = Fleet::start().await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let done = fleet.run(&["call", "nobody.home", "{}"]).await.with_status(1);
        times.push(began.elapsed());
        assert!(done.stderr.starts_with("not-found: ") && done.stdout.is_empty(), "{done:?}");
    }
    // The shortest of five: the others measure how busy the machine is. The deadline is 5 s.
    assert!(times.iter().min() < Some(&Duration::from_secs(4)), "{times:?}");
}

#[tokio::test]
async fn a_call_without_any_server_is_one_line_and_status_2() {
    let world = World::new();
    let done = world.run(&["call", "logic.greet", "{}"]).await;
    if somebody_at_the_usual_port() {
        // On a foreign server there is no such cell.
        assert!(done.with_status(1).stderr.starts_with("not-found: "));
    } else {
        let done = done.with_status(2);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        assert!(done.stderr.starts_with("error: no NATS server: "), "{}", done.stderr);
    }
}

#[tokio::test]
async fn without_a_servers_program_a_body_runs_in_process_and_says_what_is_missing() {
    let world = World::new();
    for variable in ["CBS_NATS_SERVER", "CBS_TOOLS"] {
        let mut commands =
            [world.cbs(&["demo", "--name", "Ada"]), Body::greeting("one").command(&world)];
        for command in &mut commands {
            command
                .env_remove("CBS_NATS_SERVER")
                .env_remove("CBS_TOOLS")
                .env("PATH", "/nonexistent");
            command.env("XDG_CACHE_HOME", "/nonexistent").env(variable, "/nonexistent");
        }
        let [demo, up] = commands;
        let reported = world.finish(demo).await.with_status(0);
        assert_eq!(reported.stdout, "Hello, Ada!\n");
        let mut up = world.start(up);
        up.until_printed("body one, namespace default, NATS ").await;
        let done = up.terminate().await.with_status(0);
        if !somebody_at_the_usual_port() {
            let says = |text: &str| {
                text.lines().filter(|line| line.contains("in process, without NATS: ")).count()
            };
            assert_eq!(
                (says(&reported.stderr), says(&done.stderr)),
                (1, 1),
                "{}\n{}",
                reported.stderr,
                done.stderr
            );
            assert!(reported.stderr.contains("CBS_NATS_SERVER"), "{}", reported.stderr);
        }
    }
}
