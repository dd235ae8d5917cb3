//! The first five minutes of a user, and the events of a body.

use e2e::{Body, Fleet, LIMIT, Load, children};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use serde_json::{Value, json};
use testkit::eventually;

#[tokio::test]
async fn an_empty_folder_waits_for_its_first_cell_and_shows_who_calls_it() {
    let fleet = Fleet::start().await;
    let mut dev = fleet.world.start(fleet.world.cbs(&[
        "dev",
        "--body",
        "mine",
        "--nats",
        fleet.server.url(),
    ]));
    let printed = dev.until_printed("try: cbs new cell demo.shout --lang python").await;
    assert!(printed.contains("body mine, namespace default"), "{printed}");
    fleet.world.run(&["new", "cell", "demo.shout", "--lang", "python"]).await.with_status(0);
    let printed = dev.until_printed("try: cbs call demo.shout ").await;
    assert!(printed.contains("cbs.default.cell.demo.shout"), "{printed}");
    // The user pastes the command that was proposed.
    let proposed = printed.lines().find_map(|line| line.strip_prefix("try: cbs call ")).unwrap();
    let words = shlex::split(proposed).unwrap();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = fleet.world.run(&[&["call"], words.as_slice()].concat()).await.with_status(0);
    assert_eq!(done.stdout, "{\"text\":\"HELLO\"}\n");
    dev.until_printed(" a client -> demo.shout ok nats ").await;
    fleet.run(&["call", "demo.shout", "7"]).await.with_status(1);
    dev.until_printed(" a client -> demo.shout bad-request nats ").await;
    dev.terminate().await.with_status(0);
}

#[tokio::test]
async fn calls_between_cells_are_shown_unless_quiet() {
    let fleet = Fleet::start().await;
    let specs = e2e::greeting_specs();
    let folder = specs.to_str().unwrap();
    let dev = |body: &str, more: &[&str]| {
        let arguments =
            [&["dev", folder, "--body", body, "--nats", fleet.server.url()], more].concat();
        fleet.world.start(fleet.world.cbs(&arguments))
    };
    let mut loud = dev("loud", &[]);
    loud.until_printed("try: cbs call ").await;
    fleet.run(&["call", "logic.greet", r#"{"name":"Ada"}"#]).await.with_status(0);
    loud.until_printed(" a client -> logic.greet ok nats ").await;
    let _ = fleet.run(&["flow", "run", "greeting", r#"{"name":"Ada"}"#]).await;
    loud.until_printed(" a client -> flow greeting ").await;
    loud.until_printed(" flow greeting -> logic.greet ok in-process ").await;
    loud.terminate().await.with_status(0);
    let mut quiet = dev("quiet", &["--quiet"]);
    quiet.until_printed("try: cbs call ").await;
    fleet.run(&["call", "logic.greet", r#"{"name":"Ada"}"#]).await.with_status(0);
    let done = quiet.terminate().await.with_status(0);
    assert!(!done.stdout.contains(" -> "), "{}", done.stdout);
}

#[tokio::test]
async fn a_broken_spec_does_not_keep_it_from_starting() {
    let fleet = Fleet::start().await;
    let spec = |runtime: &str| {
        format!(
            "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: logic.greet }}\nspec: {{ runtime: {runtime} }}\n"
        )
    };
    fleet.world.write("specs/cells/logic.greet.yaml", &spec("rusty"));
    let mut dev = fleet.world.start(fleet.world.cbs(&["dev", "--nats", fleet.server.url()]));
    dev.until_told("1 mistake in 1 file").await;
    dev.until_printed("no cells here yet").await;
    fleet.world.write("specs/cells/logic.greet.yaml", &spec("rust"));
    dev.until_told("added cell logic.greet").await;
    let caller = fleet.caller().await;
    eventually("an answer", LIMIT, async || {
        caller
            .try_call("logic.greet", &[], &json!({ "name": "Ada" }))
            .await
            .is_ok_and(|answer| answer.status == 200)
    })
    .await;
}

/// Reads the output of a process: one JSON document in each line.
fn events(printed: &str) -> Vec<Value> {
    printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[tokio::test]
async fn a_killed_process_is_an_event_and_so_is_its_return() {
    let fleet = Fleet::start().await;
    let code = "async def tell(given: dict) -> dict:\n    return {'answer': 42}\n";
    let spec = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.tells }\n\
                spec: { runtime: python, isolation: process, source: 'tells.py:tell' }\n";
    let body = Body::without_files("one")
        .file("cells/demo.tells.yaml", spec)
        .file("cells/tells.py", code)
        .with(&["--watch"]);
    let follow = ["events", "--format", "json", "--nats", fleet.server.url()];
    let mut listener = fleet.world.start(fleet.world.cbs(&follow));
    listener.until_told("following cbs.> in the namespace default").await;
    let mut running = fleet.up(&body).await;
    listener.until_printed("\"cbs.body.joined\"").await;
    let killed = *children(running.pid()).first().expect("a worker process");
    signal::kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    listener
        .until_printed_is("two times ready", |text| text.matches("\"cbs.cell.ready\"").count() == 2)
        .await;
    fleet.world.write("one/cells/tells.py", &code.replace("42", "43"));
    // The old version stops after the event of the new one.
    listener.until_printed("\"cbs.cell.stopped\"").await;
    running.terminate().await.with_status(0);
    let events = events(&listener.until_printed("\"cbs.body.left\"").await);
    let topics: Vec<&str> = events.iter().map(|event| event["topic"].as_str().unwrap()).collect();
    let expected = [
        "cbs.cell.ready",
        "cbs.body.joined",
        "cbs.cell.restarting",
        "cbs.cell.ready",
        "cbs.cell.ready",
        "cbs.cell.replaced",
        "cbs.cell.stopped",
        "cbs.body.draining",
        "cbs.cell.stopped",
        "cbs.body.left",
    ];
    assert_eq!(topics, expected, "{events:#?}");
    let fell = &events[2]["payload"];
    assert_eq!(
        (&fell["body"], &fell["cell"], &fell["state"]),
        (&json!("one"), &json!("demo.tells"), &json!("restarting"))
    );
    assert!(fell["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{fell}");
    assert_eq!(listener.terminate().await.status, 0);
}

#[tokio::test]
async fn other_topics_are_followed_by_a_filter() {
    let fleet = Fleet::start().await;
    let mut listener =
        fleet.world.start(fleet.world.cbs(&["events", "order.*", "--nats", fleet.server.url()]));
    listener.until_told("following order.* in").await;
    let caller = fleet.caller().await;
    for topic in ["order.created", "bill.sent", "order.gone"] {
        let payload = format!("{{\"of\":\"{topic}\"}}");
        caller
            .client()
            .publish(format!("cbs.default.event.{topic}"), payload.into())
            .await
            .unwrap();
    }
    let printed = listener.until_printed("order.gone {\"of\":\"order.gone\"}").await;
    assert!(printed.contains("order.created {\"of\":") && !printed.contains("bill"), "{printed}");
}

#[tokio::test]
async fn top_shows_what_each_cell_did_in_the_last_second() {
    let fleet = Fleet::start().await;
    let _body = fleet.up(&Body::greeting("one")).await;
    let once = fleet.run(&["top", "--once"]).await.with_status(0).stdout;
    for words in ["TARGET", "CALLS/S", "P99", "\nlogic.greet ", "flow greeting", "ready"] {
        assert!(once.contains(words), "{words} is not in {once}");
    }
    let arguments = ["top", "--format", "json", "--nats", fleet.server.url()];
    let mut top = fleet.world.start(fleet.world.cbs(&arguments));
    let caller = fleet.caller().await;
    let load = Load::new(&caller, "logic.greet", json!({ "name": "Ada" }));
    let busy = |document: &Value| {
        let rows = document["targets"].as_array().unwrap();
        let row = rows.iter().find(|row| row["target"] == json!("cell logic.greet")).unwrap();
        row["calls_per_s"].as_f64().is_some_and(|rate| rate > 1.0)
            && row["mean_us"].as_f64().is_some()
    };
    tokio::select! {
        () = load.run(1, usize::MAX) => {}
        _ = top.until_printed_is("a busy second", |text| events(text).iter().any(busy)) => {}
    }
    top.terminate().await.with_status(0);
}
