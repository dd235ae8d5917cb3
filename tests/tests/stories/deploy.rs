//! Deploys to a running fleet.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use e2e::{Body, Caller, Fleet, LIMIT, Load, Process};
use futures::future::join_all;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::{eventually, within};

use crate::{measured, stories};

/// Time to wait for a first deploy: the first Python cell of a body may need a new environment.
pub(crate) const FIRST_TIME: &str = "120s";
/// Native cells of the stories' body.
const CELLS: [&str; 6] =
    ["story.tells", "story.slow", "story.holds", "story.frees", "story.big", "story.calls"];

/// Writes a Python cell that answers with a text; returns the folder to deploy.
pub(crate) fn says(fleet: &Fleet, text: &str) -> PathBuf {
    let code = format!(
        "async def say(whom: dict) -> dict:\n    return {{'text': '{text}', 'body': 'any'}}\n"
    );
    fleet.world.write("code/say.py", &code);
    let spec = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.say }\n\
                spec: { runtime: python, source: '../../code/say.py:say' }\n";
    let file = fleet.world.write("specs/cells/demo.say.yaml", spec);
    file.ancestors().nth(2).unwrap().to_owned()
}

/// Writes a folder of native cells with these further fields; returns it.
fn natives(fleet: &Fleet, folder: &str, cells: &[&str], more: &str) -> PathBuf {
    let mut file = PathBuf::new();
    for cell in cells {
        let text = format!(
            "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {cell} }}\nspec: {{ runtime: rust{more} }}\n"
        );
        file = fleet.world.write(&format!("{folder}/cells/{cell}.yaml"), &text);
    }
    file.ancestors().nth(2).unwrap().to_owned()
}

async fn deploy(fleet: &Fleet, folder: &std::path::Path) -> e2e::Done {
    fleet.run(&["deploy", folder.to_str().unwrap(), "--timeout", FIRST_TIME]).await
}

async fn said(caller: &Caller) -> String {
    caller.call("demo.say", &json!({})).await.text("text")
}

/// Waits for three answers in a row with this text: the old revision answers for half a second
/// more, beside the new one.
pub(crate) async fn until_said(caller: &Caller, text: &str) {
    let what = format!("three answers of {text}");
    eventually(&what, LIMIT, async || {
        said(caller).await == text && said(caller).await == text && said(caller).await == text
    })
    .await;
}

/// Returns the report of `cbs bodies`, by body.
async fn bodies(fleet: &Fleet) -> Vec<(String, Value)> {
    let reported = fleet.run(&["bodies", "--format", "json"]).await.with_status(0).stdout;
    let all: Vec<Value> = serde_json::from_str(&reported).unwrap();
    all.into_iter().map(|body| (body["body"].as_str().unwrap().to_owned(), body)).collect()
}

/// Returns the bodies by name, each with the states of all entries of the manifest.
async fn spread(fleet: &Fleet) -> Vec<(String, String)> {
    bodies(fleet)
        .await
        .into_iter()
        .map(|(id, body)| (id, body["states"].as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// Number of ready instances in these states (`r2.e`): a number after a letter is its count.
fn ready(states: &str) -> usize {
    let mut ready = 0;
    let mut rest = states.chars().peekable();
    while let Some(letter) = rest.next() {
        let mut count = String::new();
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            count.push(digit);
        }
        if letter == 'r' {
            ready += count.parse().unwrap_or(1);
        }
    }
    ready
}

async fn fleet_of(fleet: &Fleet, ids: &[&str]) -> Vec<Process> {
    join_all(ids.iter().map(async |id| fleet.up(&Body::without_files(id)).await)).await
}

#[tokio::test]
async fn a_deploy_serves_and_a_change_of_it_and_a_rollback_brings_the_former_back() {
    let fleet = Fleet::with_jetstream().await;
    let _bodies = fleet_of(&fleet, &["one", "two"]).await;
    let plan = fleet.run(&["diff", says(&fleet, "first").to_str().unwrap()]).await.with_status(0);
    assert!(plan.stdout.contains("add") && plan.stdout.contains("cell demo.say"), "{plan:?}");
    assert_eq!(fleet.run(&["history"]).await.with_status(1).stdout, "");
    let done = deploy(&fleet, &says(&fleet, "first")).await.with_status(0);
    assert_eq!(done.stdout, "deployed: generation 1\n");
    let caller = fleet.caller().await;
    assert_eq!(said(&caller).await, "first");

    let done = deploy(&fleet, &says(&fleet, "second")).await.with_status(0);
    assert!(done.stderr.contains("change  cell demo.say"), "{}", done.stderr);
    until_said(&caller, "second").await;
    // The same deploy again changes nothing.
    let done = deploy(&fleet, &says(&fleet, "second")).await.with_status(0);
    assert_eq!(done.stdout, "nothing to change; 2 bodies follow\n");

    let done = fleet.run(&["rollback"]).await.with_status(0);
    assert_eq!(done.stdout, "deployed: generation 3\n");
    until_said(&caller, "first").await;
    let history: Value = serde_json::from_str(
        &fleet.run(&["history", "--format", "json"]).await.with_status(0).stdout,
    )
    .unwrap();
    assert_eq!(
        (history[2]["manifest"].clone(), &history[0]["restores"]),
        (history[0]["manifest"].clone(), &json!(1))
    );
    let spec = fleet.run(&["get", "demo.say", "-o", "yaml"]).await.with_status(0).stdout;
    assert!(spec.starts_with("apiVersion: cbs/v1alpha1\nkind: Cell\n"), "{spec}");

    fleet.run(&["undeploy", "demo.say"]).await.with_status(0);
    assert!(caller.try_call("demo.say", &[], &json!({})).await.is_err(), "it is still served");
    fleet.run(&["undeploy", "demo.say"]).await.with_status(1);
}

#[tokio::test]
async fn a_broken_change_is_refused_before_anything_is_touched() {
    let fleet = Fleet::with_jetstream().await;
    let _bodies = fleet_of(&fleet, &["one"]).await;
    let folder = natives(&fleet, "specs", &["logic.greet"], "");
    deploy(&fleet, &folder).await.with_status(0);
    for (broken, says) in
        [(", timeout: soon", "spec-bad-duration"), (", replicas: many", "spec-bad-value")]
    {
        let done = deploy(&fleet, &natives(&fleet, "specs", &["logic.greet"], broken))
            .await
            .with_status(1);
        assert!(done.stderr.contains(says) && done.stdout.is_empty(), "{}", done.stderr);
    }
    natives(&fleet, "specs", &["logic.greet"], "");
    let missing = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.say }\n\
                   spec: { runtime: python, source: 'nowhere.py:say' }\n";
    let file = fleet.world.write("other/demo.say.yaml", missing);
    let done = deploy(&fleet, &file).await.with_status(1);
    assert!(done.stderr.contains("spec-missing-file"), "{}", done.stderr);
    let folder = says(&fleet, "never");
    fleet.world.write("code/say.py", "async def say(whom: dict) -> dict:\n    return 1 +\n");
    let done = deploy(&fleet, &folder.join("cells")).await.with_status(1);
    assert!(done.stderr.contains("say.py:2"), "{}", done.stderr);
    let history = fleet.run(&["history", "--format", "json"]).await.with_status(0).stdout;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&history).unwrap().len(), 1, "{history}");
    let answer = fleet.caller().await.call("logic.greet", &json!({ "name": "Ada" })).await;
    assert_eq!(answer.text("text"), "Hello, Ada!");
}

#[tokio::test]
async fn what_no_body_can_run_is_told_with_the_reason_and_the_old_goes_on() {
    let fleet = Fleet::with_jetstream().await;
    let _bodies = fleet_of(&fleet, &["one", "two"]).await;
    deploy(&fleet, &says(&fleet, "well")).await.with_status(0);
    let folder = says(&fleet, "well");
    fleet.world.write(
        "code/say.py",
        "raise OSError('no disk')\n\n\nasync def say(whom: dict) -> dict:\n    return whom\n",
    );
    let done = deploy(&fleet, &folder).await.with_status(1);
    assert!(done.stderr.contains("no disk"), "{}", done.stderr);
    assert!(
        done.stderr.contains("cell demo.say") && done.stderr.contains("cbs rollback"),
        "{}",
        done.stderr
    );
    assert_eq!(said(&fleet.caller().await).await, "well");
    fleet.run(&["rollback"]).await.with_status(0);
    assert_eq!(said(&fleet.caller().await).await, "well");
}

#[tokio::test]
async fn of_those_who_deploy_at_once_all_but_one_are_told_what_the_other_changed() {
    let fleet = Fleet::with_jetstream().await;
    let _bodies = fleet_of(&fleet, &["one"]).await;
    let names = ["demo.a", "demo.b", "demo.c", "demo.d"];
    let folders: Vec<PathBuf> =
        names.iter().map(|name| natives(&fleet, name, &[*name], "")).collect();
    let mut written = 0;
    let mut conflicts = 0;
    // A deploy that comes late meets no conflict: repeat until one does.
    within(LIMIT, "a conflict", async {
        for round in 0.. {
            let more = format!(", timeout: {}s", round + 1);
            for name in names {
                natives(&fleet, name, &[name], &more);
            }
            let done = join_all(folders.iter().map(|folder| {
                let folder = folder.to_str().unwrap();
                async {
                    fleet
                        .world
                        .run(&["deploy", folder, "--wait=false", "--nats", fleet.server.url()])
                        .await
                }
            }))
            .await;
            written += done.iter().filter(|done| done.status == 0).count();
            for done in done.iter().filter(|done| done.status != 0) {
                assert_eq!(done.status, 1, "{done:?}");
                assert!(
                    done.stderr.contains("came first and changed cell demo."),
                    "{}",
                    done.stderr
                );
                conflicts += 1;
            }
            if conflicts > 0 {
                break;
            }
        }
    })
    .await;
    // Nothing was lost and nothing written twice: each deploy that reported success has its head,
    // the newest first.
    let history = fleet.run(&["history", "--format", "json"]).await.with_status(0).stdout;
    let heads: Vec<Value> = serde_json::from_str(&history).unwrap();
    assert_eq!(heads.len(), written, "{history}");
    assert_eq!(heads.first().unwrap()["number"], json!(written));
}

#[tokio::test]
async fn who_waits_for_a_head_that_another_replaces_is_told_what_the_other_changed() {
    let fleet = Fleet::with_jetstream().await;
    let _bodies = fleet_of(&fleet, &["one"]).await;
    // A process that never says hello stays in its start for ten seconds.
    let spec = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.late }\n\
                spec: { runtime: exec, command: [sleep, '60'] }\n";
    let late = fleet.world.write("late/demo.late.yaml", spec);
    let other = fleet.world.write("other/demo.late.yaml", &spec.replace("60", "61"));
    let second = async {
        eventually("the first head", LIMIT, async || fleet.run(&["history"]).await.status == 0)
            .await;
        fleet
            .run(&["deploy", other.to_str().unwrap(), "--wait=false", "--message", "in a hurry"])
            .await
    };
    let first = async { fleet.run(&["deploy", late.to_str().unwrap()]).await };
    let (first, second) = tokio::join!(first, second);
    let _ = second.with_status(0);
    let reported = first.with_status(1).stderr;
    for part in
        ["replaced by generation 2", "(in a hurry)", "what the other changed", "cell demo.late"]
    {
        assert!(reported.contains(part), "{part} is not in {reported}");
    }
    assert!(
        !reported.contains("cbs rollback"),
        "that would undo what the other deployed: {reported}"
    );
}

#[tokio::test]
async fn the_cells_of_a_body_that_is_killed_are_back_elsewhere_and_the_spread_with_the_body() {
    let fleet = Fleet::with_jetstream().await;
    let ids = ["one", "two", "three"];
    let body = |id: &str| stories(id);
    let mut processes = join_all(ids.iter().map(async |id| fleet.up(&body(id)).await)).await;
    deploy(&fleet, &natives(&fleet, "specs", &CELLS, "")).await.with_status(0);
    let before = spread(&fleet).await;
    assert_eq!(
        before.iter().map(|(_, states)| ready(states)).sum::<usize>(),
        CELLS.len(),
        "{before:?}"
    );
    // The body that has the most instances.
    let (victim, lost) = before.iter().max_by_key(|(_, states)| ready(states)).cloned().unwrap();
    assert!(ready(&lost) > 0, "{before:?}");
    let at = ids.iter().position(|id| *id == victim).unwrap();
    let killed = Instant::now();
    processes[at].signal(Signal::SIGKILL);
    eventually("its cells elsewhere", LIMIT, async || {
        let now = spread(&fleet).await;
        now.len() == 2 && now.iter().map(|(_, states)| ready(states)).sum::<usize>() == CELLS.len()
    })
    .await;
    measured(&format!("the cells were back {:?} after the death", killed.elapsed()));
    processes[at] = fleet.up(&body(&victim)).await;
    eventually("the former spread", LIMIT, async || spread(&fleet).await == before).await;
}

#[tokio::test]
async fn the_text_of_a_python_cell_is_changed_under_load_without_a_failed_call() {
    let fleet = Fleet::with_jetstream().await;
    let _bodies = fleet_of(&fleet, &["one", "two"]).await;
    deploy(&fleet, &says(&fleet, "text 0")).await.with_status(0);
    let caller = fleet.caller().await;
    let load = Load::new(&caller, "demo.say", json!({}));
    let edits = async {
        for edit in 1..=6 {
            let text = format!("text {edit}");
            let before = load.answered();
            deploy(&fleet, &says(&fleet, &text)).await.with_status(0);
            until_said(&caller, &text).await;
            assert!(load.answered() > before + 50, "there is no load");
        }
    };
    tokio::select! {
        () = edits => {}
        () = load.run(4, usize::MAX) => {}
    }
    assert_eq!(load.failed(), Vec::<String>::new());
}

#[tokio::test]
async fn a_fleet_whose_server_goes_in_the_middle_of_a_deploy_converges_without_a_hand() {
    let mut fleet = Fleet::with_jetstream().await;
    let mut bodies = fleet_of(&fleet, &["one", "two", "three"]).await;
    deploy(&fleet, &says(&fleet, "before")).await.with_status(0);
    let folder = says(&fleet, "after");
    let mut deploying = fleet.world.start(fleet.world.cbs(&[
        "deploy",
        folder.to_str().unwrap(),
        "--nats",
        fleet.server.url(),
    ]));
    deploying.until_told("generation 2 is written").await;
    fleet.server.kill().await;
    for body in &mut bodies {
        body.until_told("nothing is changed").await;
    }
    fleet.server.restart().await;
    let caller = fleet.caller().await;
    eventually("the new text", LIMIT, async || {
        caller
            .try_call("demo.say", &[], &json!({}))
            .await
            .is_ok_and(|answer| answer.text("text") == "after")
    })
    .await;
    eventually("one instance in one body", LIMIT, async || {
        let now = spread(&fleet).await;
        now.len() == 3 && now.iter().map(|(_, states)| ready(states)).sum::<usize>() == 1
    })
    .await;
}

#[tokio::test]
async fn content_that_was_lost_is_put_back_by_the_same_deploy_and_a_body_that_is_gone_is_not_counted()
 {
    let fleet = Fleet::with_jetstream().await;
    let bodies = fleet_of(&fleet, &["one", "two"]).await;
    let folder = says(&fleet, "first");
    deploy(&fleet, &folder).await.with_status(0);
    let client = async_nats::connect(fleet.server.url()).await.unwrap();
    let stream =
        async_nats::jetstream::new(client).get_stream("KV_cbs_default_desired").await.unwrap();
    stream.purge().filter("$KV.cbs_default_desired.spec.*").await.unwrap();
    stream.purge().filter("$KV.cbs_default_desired.tree.*").await.unwrap();
    // Its lease stays for three seconds more.
    bodies[1].signal(Signal::SIGKILL);
    let done = deploy(&fleet, &folder).await.with_status(0);
    assert_eq!(done.stdout, "nothing to change; 1 body follows\n", "{}", done.stderr);
    assert!(
        done.stderr.contains("3 parts of what is deployed had been lost, and are put back"),
        "{}",
        done.stderr
    );
    let _late = fleet.up(&Body::without_files("three")).await;
    let reported = fleet
        .run(&["deploy", folder.to_str().unwrap(), "--format", "json"])
        .await
        .with_status(0)
        .stdout;
    let reported: Value = serde_json::from_str(&reported).unwrap();
    assert_eq!(
        (&reported["head"], &reported["bodies"], &reported["mended"]),
        (&json!(1), &json!(2), &json!(0)),
        "{reported}"
    );
}

#[tokio::test]
async fn a_deploy_whose_server_restarts_waits_for_the_bodies_that_were_there() {
    let mut fleet = Fleet::with_jetstream().await;
    let bodies = fleet_of(&fleet, &["one", "two", "three"]).await;
    deploy(&fleet, &natives(&fleet, "specs", &["logic.greet"], "")).await.with_status(0);
    let mut deploying = fleet.world.start(fleet.world.cbs(&[
        "deploy",
        natives(&fleet, "specs", &["logic.greet"], ", replicas: 4").to_str().unwrap(),
        "--timeout",
        "40s",
        "--nats",
        fleet.server.url(),
    ]));
    deploying.until_told("generation 2 is written").await;
    fleet.server.kill().await;
    fleet.server.restart().await;
    let done = deploying.ended().await.with_status(0);
    assert!(done.stderr.contains("3 bodies follow"), "{}", done.stderr);
    drop(bodies);
}

#[tokio::test]
async fn a_deploy_does_not_outlast_its_time_while_the_server_is_silent() {
    let fleet = Fleet::with_jetstream().await;
    deploy(&fleet, &natives(&fleet, "specs", &["logic.greet"], "")).await.with_status(0);
    let _body = fleet.up(&Body::without_files("one")).await;
    // No body has this cell.
    let folder = natives(&fleet, "other", &["story.nowhere"], ", place: { zone: a }");
    let mut deploying = fleet.world.start(fleet.world.cbs(&[
        "deploy",
        folder.to_str().unwrap(),
        "--timeout",
        "3s",
        "--nats",
        fleet.server.url(),
    ]));
    deploying.until_told("generation 2 is written").await;
    let began = Instant::now();
    fleet.server.pause();
    let done = deploying.ended().await;
    let took = began.elapsed();
    fleet.server.resume();
    assert_eq!(done.status, 1, "{done:?}");
    assert!(took < Duration::from_secs(12), "{took:?}");
}

#[tokio::test]
async fn what_serves_on_for_nobody_has_the_labels_that_it_asks_for_says_so_in_bodies_too() {
    let fleet = Fleet::with_jetstream().await;
    deploy(&fleet, &natives(&fleet, "specs", &["logic.greet"], "")).await.with_status(0);
    let _body = fleet.up(&Body::without_files("one")).await;
    fleet.caller().await.until_answered("logic.greet", &json!({ "name": "Ada" })).await;
    let reason = "cell logic.greet serves on in one, for no body has the labels that it asks for";
    let folder = natives(&fleet, "specs", &["logic.greet"], ", place: { zone: a }");
    let done = deploy(&fleet, &folder).await.with_status(1);
    assert!(done.stderr.contains(reason), "{}", done.stderr);
    let table = fleet.run(&["bodies"]).await.with_status(0).stdout;
    assert!(table.contains("1 extra") && table.ends_with(&format!("\none: {reason}\n")), "{table}");
    let [(_, reported)] = &bodies(&fleet).await[..] else { panic!("one body") };
    assert_eq!(reported["troubles"], json!([{ "index": 0, "reason": reason }]));
}
