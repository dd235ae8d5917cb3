//! One body with cells in three languages.

use std::{path::Path, time::Duration};

use e2e::{Body, Fleet, LIMIT, Load, children, lives};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use serde_json::{Value, json};
use testkit::eventually;

use crate::measured;

/// Limit of a first start: it may compile a Dart cell, or make the environment of Python cells.
const FIRST_TIME: Duration = Duration::from_secs(120);

/// Returns a body of `cbs` with the specs of a folder of this repository.
fn variant(id: &str, name: &str) -> Body {
    Body::of_specs(id, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/variants").join(name))
}

/// Adds the spec of a cell in Python, and its code.
fn python(body: Body, name: &str, code: &str, more: &str) -> Body {
    let file = name.replace('.', "_");
    let spec = format!(
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {name} }}\n\
         spec: {{ runtime: python, source: '../{file}.py:answer'{more} }}\n"
    );
    body.file(&format!("cells/{name}.yaml"), &spec).file(&format!("{file}.py"), code)
}

fn kill(pid: i32) {
    signal::kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a process to kill");
}

/// Returns the entry of a cell in `cbs ls`.
async fn listed(fleet: &Fleet, cell: &str) -> Value {
    let done = fleet.run(&["ls", "--format", "json"]).await.with_status(0);
    let all: Vec<Value> = serde_json::from_str(&done.stdout).expect("JSON");
    all.into_iter().find(|row| row["target"] == format!("cell {cell}")).unwrap_or_default()
}

#[tokio::test]
async fn three_languages_greet_in_one_trace_and_a_step_is_tried_again_before_ones_eyes() {
    let fleet = Fleet::start().await;
    let mut demo = fleet.world.start(fleet.world.cbs(&[
        "demo",
        "--polyglot",
        "--name",
        "Ada",
        "--nats",
        fleet.server.url(),
    ]));
    demo.until_printed_within(FIRST_TIME, "Hello, Ada!\n").await;
    let done = demo.ended().await.with_status(0);
    assert_eq!(done.stdout, "Hello, Ada!\n");
    let lines: Vec<_> = done.stderr.lines().filter(|line| line.starts_with("  ")).collect();
    let steps = [
        ["io.prompt_name", "rust", "nats"],
        ["logic.greet", "python", "greeting.shy"],
        ["logic.greet", "python", "attempt 2"],
        ["io.print_greeting", "dart", "nats"],
    ];
    assert_eq!(lines.len(), steps.len(), "{}", done.stderr);
    for (line, words) in lines.iter().zip(steps) {
        assert!(words.iter().all(|word| line.contains(word)), "{words:?} are not in: {line}");
    }
    assert!(
        done.stderr.lines().last().is_some_and(|line| line.contains("trace ")),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn a_greeting_in_python_is_the_greeting_in_rust() {
    let fleet = Fleet::start().await;
    let _body = fleet.up(&variant("one", "python")).await;
    fleet.caller().await.until_answered("logic.greet", &json!({ "name": "Ada" })).await;
    let run = fleet.run(&["flow", "run", "greeting", r#"{"name":"Ada"}"#]).await.with_status(0);
    assert_eq!(run.stdout, "{\"text\":\"Hello, Ada!\"}\n");
    let wrong = fleet.caller().await.call("logic.greet", &json!({})).await;
    assert_eq!(wrong.status, 400, "{}", wrong.line);
}

#[tokio::test]
async fn a_cell_that_spins_for_ever_in_a_process_of_its_own_disturbs_nobody_and_comes_back() {
    let fleet = Fleet::start().await;
    let shared = "async def answer(given: dict) -> dict:\n    return given\n";
    let spins = "async def answer(given: dict) -> dict:\n    while given.get('spin'):\n        pass\n    return given\n";
    let body = python(Body::without_files("one"), "calm.one", shared, "");
    let body = python(body, "calm.two", shared, "");
    let body = python(body, "wild.spins", spins, ", isolation: process, timeout: 500ms");
    let _body = fleet.up(&body).await;
    let caller = fleet.caller().await;
    for cell in ["calm.one", "calm.two", "wild.spins"] {
        caller.until_answered(cell, &json!({ "calm": true })).await;
    }
    let calm = Load::new(&caller, "calm.one", json!({ "body": "one" }));
    let spin = json!({ "spin": true });
    let (spun, ()) = tokio::join!(caller.call("wild.spins", &spin), calm.run(4, 200));
    assert!([500, 504].contains(&spun.status), "{}", spun.line);
    assert_eq!((calm.answered(), calm.failed()), (800, vec![]));
    eventually("the sick cell to have been started again", LIMIT, async || {
        let row = listed(&fleet, "wild.spins").await;
        row["restarts"].as_u64().unwrap_or(0) + row["workers"][0]["restarts"].as_u64().unwrap_or(0)
            > 0
    })
    .await;
    caller.until_answered("wild.spins", &json!({ "calm": true })).await;
}

#[tokio::test]
async fn eight_calls_that_block_grow_the_lanes_to_their_most_and_they_are_back_within_30_s() {
    let fleet = Fleet::start().await;
    // sleep: the cell blocks its lane on purpose.
    let block = "time.sleep(given['s'])";
    let code = format!(
        "import time\n\n\nasync def answer(given: dict) -> dict:\n    {block}\n    return given\n"
    );
    let body = python(
        Body::without_files("one"),
        "slow.one",
        &code,
        ", workers: { min: 1, max: 4 }, timeout: 30s",
    );
    let _body = fleet.up(&body).await;
    let caller = fleet.caller().await;
    caller.until_answered("slow.one", &json!({ "s": 0 })).await;
    let lanes = async || listed(&fleet, "slow.one").await["workers"].as_array().map_or(0, Vec::len);
    assert_eq!(lanes().await, 1);
    let blocks = json!({ "s": 2 });
    let all = futures::future::join_all(
        (0..8).map(|_| caller.call_with("slow.one", &[("Cbs-Timeout-Ms", "30000")], &blocks)),
    );
    let (answers, ()) =
        tokio::join!(all, eventually("four lanes", LIMIT, async || lanes().await == 4));
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    eventually("one lane again", LIMIT, async || lanes().await == 1).await;
}

#[tokio::test]
async fn a_new_cell_in_python_or_dart_answers_by_the_printed_command() {
    let fleet = Fleet::start().await;
    for (name, language) in [("demo.shout", "python"), ("demo.yell", "dart")] {
        let printed =
            fleet.world.run(&["new", "cell", name, "--lang", language]).await.with_status(0).stdout;
        let arguments: Vec<&str> = printed.split_whitespace().skip(1).collect();
        let mut body = fleet
            .world
            .start(fleet.world.cbs(&[&arguments[..], &["--nats", fleet.server.url()]].concat()));
        body.until_printed_within(FIRST_TIME, "body ").await;
        fleet.caller().await.until_answered(name, &json!({ "text": "x" })).await;
        let done = fleet.run(&["call", name, r#"{"text":"hello"}"#]).await.with_status(0);
        assert_eq!(done.stdout, "{\"text\":\"HELLO\"}\n", "{language}");
        assert_eq!(fleet.run(&["call", name, r#"{"text":""}"#]).await.status, 1, "{language}");
    }
}

#[tokio::test]
async fn a_dart_process_that_is_killed_costs_what_it_held_and_is_back() {
    let fleet = Fleet::start().await;
    let _body = fleet.up(&variant("one", "polyglot")).await;
    let caller = fleet.caller().await;
    let text = json!({ "text": "hi" });
    caller.until_answered("io.print_greeting", &text).await;
    let pid = dart_process(&fleet).await;
    let dart = Load::new(&caller, "io.print_greeting", text.clone());
    let rust = Load::new(&caller, "io.prompt_name", json!({ "name": "Ada" }));
    let killed = async {
        eventually("some answers", LIMIT, async || dart.answered() > 50).await;
        kill(pid);
        let since = std::time::Instant::now();
        let is_back = async || {
            caller
                .try_call("io.print_greeting", &[], &text)
                .await
                .is_ok_and(|answer| answer.status == 200)
        };
        eventually("an answer after the kill", LIMIT, is_back).await;
        since.elapsed()
    };
    let (away, (), ()) = tokio::join!(killed, dart.run(4, 400), rust.run(2, 400));
    measured(&format!("it was away for {away:?}"));
    assert_eq!((rust.answered(), rust.failed()), (800, vec![]), "no other cell notices");
    let timeouts = dart.failed().iter().filter(|line| line.contains("timeout")).count();
    assert_eq!(timeouts, 0, "calls fail at once, not at their deadline: {:?}", dart.failed());
}

#[tokio::test]
async fn a_body_that_is_killed_leaves_no_orphan() {
    let fleet = Fleet::start().await;
    let mut body = fleet.up(&variant("one", "polyglot")).await;
    fleet.caller().await.until_answered("io.print_greeting", &json!({ "text": "hi" })).await;
    let left = children(body.pid());
    assert!(!left.is_empty(), "the body has a sidecar");
    body.kill().await;
    eventually("all of its processes to end", LIMIT, async || left.iter().all(|pid| !lives(*pid)))
        .await;
}

#[tokio::test]
async fn thirty_lines_of_python_that_know_only_the_protocol_are_a_cell() {
    let fleet = Fleet::start().await;
    let script =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("sidecars/shout.py"))
            .unwrap();
    let spec = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.shout }\n\
                spec: { runtime: exec, command: [python3, shout.py] }\n";
    let _body = fleet
        .up(&Body::without_files("one")
            .file("cells/demo.shout.yaml", spec)
            .file("cells/shout.py", &script))
        .await;
    let caller = fleet.caller().await;
    caller.until_answered("demo.shout", &json!("hello")).await;
    assert_eq!(caller.call("demo.shout", &json!("hello")).await.json(), "HELLO!");
    assert_eq!(caller.call("demo.shout", &json!(7)).await.status, 400);
}

/// Returns the id of the process that prints greetings.
async fn dart_process(fleet: &Fleet) -> i32 {
    let row = listed(fleet, "io.print_greeting").await;
    let name = row["workers"][0]["name"]
        .as_str()
        .unwrap_or_else(|| panic!("no process in {row}"))
        .to_owned();
    name.rsplit(' ')
        .next()
        .and_then(|pid| pid.parse().ok())
        .unwrap_or_else(|| panic!("no process id in {name}"))
}
