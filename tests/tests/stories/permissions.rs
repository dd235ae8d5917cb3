//! Permissions of the users of `deploy/permissions`, on a real server.

use std::{
    future::IntoFuture,
    path::Path,
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectOptions};
use e2e::{Body, Caller, Done, Fleet, LIMIT};
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use testkit::{eventually, within};

use crate::deploy::{FIRST_TIME, says, until_said};

const DEPLOYER: [&str; 6] =
    ["--user", "deployer", "--password", "deployer", "--inbox-prefix", "_INBOX_deployer"];
const HEAD: &str = "$KV.cbs_default_desired.head";

/// Starts a server with the two users of the files, and one that may do anything.
async fn guarded(store: &Path) -> Fleet {
    let user = |name: &str, file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/permissions").join(file);
        let permissions = std::fs::read_to_string(path).unwrap();
        format!("{{ user: {name}, password: {name}, permissions: {{\n{permissions}\n}} }}\n")
    };
    let users = [user("web1", "body.conf"), user("deployer", "deployer.conf")].concat();
    let store = store.display();
    let all = "{ user: all, password: all }\n";
    let users = format!("authorization {{ users: [\n{users}{all}] }}\n");
    Fleet::with_config(&format!("jetstream {{ store_dir: \"{store}\" }}\n{users}")).await
}

/// Returns the body `web1`, which the permissions name.
fn web1() -> Body {
    Body::without_files("web1").with(&["--user", "web1", "--password", "web1"])
}

fn user(name: &str, inbox: &str) -> ConnectOptions {
    ConnectOptions::with_user_and_password(name.into(), name.into()).custom_inbox_prefix(inbox)
}

async fn connect(fleet: &Fleet, name: &str, inbox: &str) -> Client {
    within(LIMIT, "a connection", user(name, inbox).connect(fleet.server.url())).await.unwrap()
}

async fn deploy(fleet: &Fleet, text: &str) -> e2e::Done {
    let folder = says(fleet, text);
    let deploy = ["deploy", folder.to_str().unwrap(), "--timeout", FIRST_TIME];
    fleet.run(&[&deploy[..], &DEPLOYER].concat()).await
}

/// Returns the value of a key, as an administrator sees it.
async fn stored(admin: &Client, bucket: &str, key: &str) -> Option<Vec<u8>> {
    let bucket = async_nats::jetstream::new(admin.clone()).get_key_value(bucket).await.unwrap();
    bucket.get(key).await.unwrap().map(|value| value.to_vec())
}

#[tokio::test]
async fn a_deployer_deploys_and_a_body_runs_it() {
    let store = tempfile::tempdir().unwrap();
    let fleet = guarded(store.path()).await;
    deploy(&fleet, "guarded").await.with_status(0);
    let _body = fleet.up(&web1()).await;
    let caller = Caller::connect(fleet.server.url(), user("web1", "_INBOX.web1.test")).await;
    caller.until_answered("demo.say", &json!({})).await;

    // The deployer changes it, and the body follows; events are received.
    let mut events = fleet.world.start(fleet.world.cbs(
        &[&["events", "--format", "json", "--nats", fleet.server.url()][..], &DEPLOYER].concat(),
    ));
    let done = deploy(&fleet, "changed").await.with_status(0);
    assert!(
        done.stderr.contains("1 body follows") && !done.stderr.contains("ermission"),
        "{}",
        done.stderr
    );
    until_said(&caller, "changed").await;
    events.until_printed("demo.say").await;
    for ask in
        [&["ls"][..], &["bodies"], &["get", "demo.say"], &["rollback"], &["undeploy", "demo.say"]]
    {
        let done = fleet.run(&[ask, &DEPLOYER].concat()).await.with_status(0);
        assert!(!done.stderr.contains("ermission"), "{ask:?}: {}", done.stderr);
    }
    // A deployer may call no cell.
    let called =
        fleet.run(&[&["call", "demo.say", "{}", "--timeout", "1s"][..], &DEPLOYER].concat()).await;
    assert_eq!(called.status, 1, "{called:?}");
}

#[tokio::test]
async fn a_body_cannot_deploy_and_is_told_so_without_the_patience_for_a_server_that_is_away() {
    let store = tempfile::tempdir().unwrap();
    let fleet = guarded(store.path()).await;
    let folder = says(&fleet, "guarded");
    let first = ["deploy", folder.to_str().unwrap(), "--wait=false"];
    fleet.run(&[&first[..], &DEPLOYER].concat()).await.with_status(0);
    let folder = says(&fleet, "never");
    for inbox in ["_INBOX.web1", "_INBOX"] {
        let began = Instant::now();
        let user = ["--user", "web1", "--password", "web1", "--inbox-prefix", inbox];
        let done = fleet.run(&[&["deploy", folder.to_str().unwrap()][..], &user].concat()).await;
        assert_denied_at_once(&done, began.elapsed());
    }
    let history = fleet
        .run(&[&["history", "--format", "json"][..], &DEPLOYER].concat())
        .await
        .with_status(0)
        .stdout;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&history).unwrap().len(), 1, "{history}");
}

/// Checks that a command failed by a denial, and sooner than a request to JetStream gives up
/// (15 s).
fn assert_denied_at_once(done: &Done, took: Duration) {
    assert!(done.status != 0 && took < Duration::from_secs(10), "{took:?}: {done:?}");
    assert!(done.stderr.contains("does not permit it: Permissions Violation"), "{}", done.stderr);
}

#[tokio::test]
async fn a_user_who_may_not_read_what_is_deployed_is_told_so_at_once() {
    let store = tempfile::tempdir().unwrap();
    let fleet = guarded(store.path()).await;
    let folder = says(&fleet, "guarded");
    let first = ["deploy", folder.to_str().unwrap(), "--wait=false"];
    fleet.run(&[&first[..], &DEPLOYER].concat()).await.with_status(0);
    for (ask, inbox) in [
        (&["history"][..], "_INBOX.web1"),
        (&["get", "demo.say"], "_INBOX.web1"),
        (&["bodies"], "_INBOX"),
    ] {
        let began = Instant::now();
        let user = ["--user", "web1", "--password", "web1", "--inbox-prefix", inbox];
        let done = fleet.run(&[ask, &user].concat()).await;
        assert_denied_at_once(&done, began.elapsed());
    }
}

#[tokio::test]
async fn a_body_neither_sets_the_head_by_any_door_nor_speaks_for_another() {
    let store = tempfile::tempdir().unwrap();
    let fleet = guarded(store.path()).await;
    for text in ["first", "second"] {
        deploy(&fleet, text).await.with_status(0);
    }
    let body = connect(&fleet, "web1", "_INBOX.web1").await;
    let admin = connect(&fleet, "all", "_INBOX_all").await;
    let head = stored(&admin, "cbs_default_desired", "head").await.unwrap();
    let lease = "$KV.cbs_default_presence.web1";
    let evil = String::from_utf8(head.clone()).unwrap().replace("\"number\":2", "\"number\":3");
    assert_ne!(evil.as_bytes(), head);
    body.publish(lease, evil.clone().into()).await.unwrap();
    body.flush().await.unwrap();
    eventually("what it may put", LIMIT, async || {
        stored(&admin, "cbs_default_presence", "web1")
            .await
            .is_some_and(|value| value == evil.as_bytes())
    })
    .await;
    // In three ways: it writes the subject itself; it lets the server send stored data, or a former
    // head, to the head's subject; a consumer delivers there.
    for subject in [HEAD, "$KV.cbs_default_desired.tree.00", "$KV.cbs_default_presence.web2"] {
        body.publish(subject, evil.clone().into()).await.unwrap();
    }
    let former = "$KV.cbs_default_desired.history.0000000001";
    for question in [
        format!("$JS.API.DIRECT.GET.KV_cbs_default_presence.{lease}"),
        format!("$JS.API.DIRECT.GET.KV_cbs_default_desired.{former}"),
    ] {
        body.publish_with_reply(question, HEAD, "".into()).await.unwrap();
    }
    for key in ["KV_cbs_default_presence", "KV_cbs_default_desired"] {
        let by_number = json!({ "seq": 1 }).to_string();
        body.publish_with_reply(format!("$JS.API.DIRECT.GET.{key}"), HEAD, by_number.into())
            .await
            .unwrap();
        for change in ["PURGE", "DELETE", "UPDATE"] {
            let request = format!("$JS.API.STREAM.{change}.{key}");
            body.publish_with_reply(request, body.new_inbox(), "".into()).await.unwrap();
        }
    }
    let config = json!({ "name": "x", "deliver_subject": HEAD, "deliver_policy": "all", "ack_policy": "none",
        "filter_subject": lease, "mem_storage": true });
    let create = json!({ "stream_name": "KV_cbs_default_presence", "config": config }).to_string();
    let request = format!("$JS.API.CONSUMER.CREATE.KV_cbs_default_presence.x.{lease}");
    // Its answer comes after all requests before it.
    let made = body.request(request, create.into()).await.unwrap();
    assert!(made.payload.windows(7).any(|part| part == b"created"), "{made:?}");
    body.publish(lease, evil.clone().into()).await.unwrap();
    body.flush().await.unwrap();
    for (bucket, key) in [("cbs_default_desired", "tree.00"), ("cbs_default_presence", "web2")] {
        assert_eq!(stored(&admin, bucket, key).await, None, "{key}");
    }
    assert_eq!(stored(&admin, "cbs_default_desired", "head").await.unwrap(), head);
}

#[tokio::test]
async fn the_replies_of_one_user_are_not_for_another() {
    let store = tempfile::tempdir().unwrap();
    let fleet = guarded(store.path()).await;
    let body = connect(&fleet, "web1", "_INBOX.web1").await;
    let deployer = connect(&fleet, "deployer", "_INBOX_deployer").await;
    let admin = connect(&fleet, "all", "_INBOX_all").await;
    let mut subscriptions = Vec::new();
    for (client, others) in [
        (&body, ["_INBOX.>", "_INBOX.web2.>", "_INBOX_deployer.>"]),
        (&deployer, ["_INBOX.>", "_INBOX.web1.>", "cbs.>"]),
    ] {
        for subject in others {
            subscriptions.push(client.subscribe(subject).await.unwrap());
        }
    }
    let mut own = body.subscribe("_INBOX.web1.x").await.unwrap();
    // The answers come when the server knows the subscriptions.
    for client in [&body, &deployer] {
        within(LIMIT, "an answer", client.request("$JS.API.INFO", "".into())).await.unwrap();
    }
    for subject in
        ["_INBOX.web1.x", "_INBOX.web2.x", "_INBOX_deployer.x", "cbs.default.cell.demo.say"]
    {
        admin.publish(subject, "secret".into()).await.unwrap();
    }
    admin.publish("_INBOX.web1.x", "last".into()).await.unwrap();
    admin.flush().await.unwrap();
    for expected in ["secret", "last"] {
        let message = within(LIMIT, "its own reply", own.next()).await.unwrap();
        assert_eq!(message.payload, expected);
    }
    // Every message to the deployer came before this answer.
    within(LIMIT, "an answer", deployer.request("$JS.API.INFO", "".into())).await.unwrap();
    for mut subscription in subscriptions {
        assert!(subscription.next().now_or_never().flatten().is_none());
    }
}

#[tokio::test]
async fn a_server_that_restarts_under_these_permissions_finds_its_fleet_again() {
    let store = tempfile::tempdir().unwrap();
    let mut fleet = guarded(store.path()).await;
    deploy(&fleet, "before").await.with_status(0);
    let mut body = fleet.up(&web1()).await;
    let done = deploy(&fleet, "settled").await.with_status(0);
    assert!(done.stderr.contains("1 body follows"), "{}", done.stderr);
    fleet.server.kill().await;
    fleet.server.restart().await;
    // The bucket of leases was in memory: the body makes a new one.
    eventually("the body's lease", LIMIT, async || {
        fleet.run(&[&["bodies"][..], &DEPLOYER].concat()).await.stdout.contains("web1")
    })
    .await;
    let done = deploy(&fleet, "after").await.with_status(0);
    assert!(done.stderr.contains("1 body follows"), "{}", done.stderr);
    let caller = Caller::connect(fleet.server.url(), user("web1", "_INBOX.web1.test")).await;
    until_said(&caller, "after").await;
    let log = body.terminate().await.with_status(0).stderr;
    assert!(!log.to_lowercase().contains("permissions violation"), "{log}");
}

/// Returns the numbers and the authors' messages of all heads, as `cbs history` shows them.
async fn history(fleet: &Fleet) -> Vec<(u64, String)> {
    let reported = fleet
        .run(&[&["history", "--format", "json"][..], &DEPLOYER].concat())
        .await
        .with_status(0)
        .stdout;
    let heads = serde_json::from_str::<Vec<Value>>(&reported).unwrap();
    heads
        .iter()
        .map(|head| {
            (head["number"].as_u64().unwrap(), head["message"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// Makes a head that nobody deployed from the present one.
fn forged(head: &[u8]) -> Vec<u8> {
    let mut forged: Value = serde_json::from_slice(head).unwrap();
    forged["message"] = "forged".into();
    forged["number"] = (forged["number"].as_u64().unwrap() + 1).into();
    serde_json::to_vec(&forged).unwrap()
}

#[tokio::test]
async fn a_body_that_has_the_server_send_what_it_wrote_to_the_head_forges_none() {
    let store = tempfile::tempdir().unwrap();
    let fleet = guarded(store.path()).await;
    let _ = deploy(&fleet, "first").await.with_status(0);
    let body = connect(&fleet, "web1", "_INBOX.web1").await;
    let admin = connect(&fleet, "all", "_INBOX_all").await;
    let head = stored(&admin, "cbs_default_desired", "head").await.unwrap();
    let evil = forged(&head);
    // All subjects of streams that a body may write.
    for (stream, subject) in [
        ("KV_cbs_default_verdicts", "$KV.cbs_default_verdicts.x"),
        ("KV_cbs_default_presence", "$KV.cbs_default_presence.web1"),
    ] {
        let last = json!({ "last_by_subj": subject }).to_string();
        let push = json!({ "stream_name": stream, "config": { "name": "push", "deliver_subject": HEAD,
            "deliver_policy": "all", "ack_policy": "none", "filter_subject": subject, "mem_storage": true } });
        let pull = json!({ "stream_name": stream, "config": { "name": "pull", "deliver_policy": "all",
            "ack_policy": "none", "filter_subject": subject, "mem_storage": true } });
        body.publish(subject, evil.clone().into()).await.unwrap();
        for config in [push, pull] {
            let name = config["config"]["name"].as_str().unwrap().to_owned();
            let create = format!("$JS.API.CONSUMER.CREATE.{stream}.{name}.{subject}");
            let made = within(LIMIT, "a consumer", body.request(create, config.to_string().into()))
                .await
                .unwrap();
            assert!(made.payload.windows(7).any(|part| part == b"created"), "{made:?}");
        }
        for (question, payload) in [
            (format!("$JS.API.DIRECT.GET.{stream}.{subject}"), String::new()),
            (format!("$JS.API.DIRECT.GET.{stream}"), last.clone()),
            (format!("$JS.API.STREAM.MSG.GET.{stream}"), last.clone()),
            (format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.pull"), String::new()),
        ] {
            body.publish_with_reply(question, HEAD, payload.into()).await.unwrap();
        }
        body.publish(subject, evil.clone().into()).await.unwrap();
        // Its answer comes after all requests before it.
        within(LIMIT, "an answer", body.request("$JS.API.INFO", "".into())).await.unwrap();
    }
    assert_eq!(stored(&admin, "cbs_default_desired", "head").await.unwrap(), head);
    assert_eq!(history(&fleet).await.len(), 1);
}

#[tokio::test]
async fn an_answer_of_jetstream_that_lies_where_the_head_should_is_no_head_and_a_deploy_mends_it() {
    let store = tempfile::tempdir().unwrap();
    let fleet = guarded(store.path()).await;
    for text in ["first", "second"] {
        let _ = deploy(&fleet, text).await.with_status(0);
    }
    let mut running = fleet.up(&web1()).await;
    let caller = Caller::connect(fleet.server.url(), user("web1", "_INBOX.web1.test")).await;
    caller.until_answered("demo.say", &json!({})).await;
    until_said(&caller, "second").await;
    let admin = connect(&fleet, "all", "_INBOX_all").await;
    let evil = forged(&stored(&admin, "cbs_default_desired", "head").await.unwrap());
    let verdict = "$KV.cbs_default_verdicts.x";
    for key in ["head", "history.0000000003"] {
        let put = async_nats::jetstream::new(admin.clone())
            .publish(verdict, evil.clone().into())
            .await
            .unwrap();
        within(LIMIT, "the verdict lies there", put.into_future()).await.unwrap();
        let question = format!("$JS.API.DIRECT.GET.KV_cbs_default_verdicts.{verdict}");
        admin
            .publish_with_reply(question, format!("$KV.cbs_default_desired.{key}"), "".into())
            .await
            .unwrap();
        eventually("the answer lies there", LIMIT, async || {
            stored(&admin, "cbs_default_desired", key).await.is_some_and(|value| value == evil)
        })
        .await;
    }
    let _ = running.until_told("a response of JetStream is stored under a key").await;
    assert!(history(&fleet).await.iter().all(|(_, message)| message != "forged"));
    until_said(&caller, "second").await;

    let done = deploy(&fleet, "third").await.with_status(0);
    assert!(done.stderr.contains("1 body follows"), "{}", done.stderr);
    until_said(&caller, "third").await;
    let heads = history(&fleet).await;
    assert!(heads.iter().all(|(_, message)| message != "forged"), "{heads:?}");
}
