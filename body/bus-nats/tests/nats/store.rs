//! Buckets and objects on a real server.

use std::time::{Duration, Instant};

use bus_nats::{
    Nats,
    store::{Bucket, BucketSettings, KeyChange, KeyWatch, StoreError, WatchEvent},
};
use futures::StreamExt;
use testkit::{NatsServer, eventually, within};
use tokio::{task::JoinSet, time::timeout};

use crate::support::{AT_ONCE, LONG, body, plain, settle};

/// Time of a leader's election, longer than the first question to JetStream may take.
const ELECTION: Duration = Duration::from_secs(4);

async fn bucket(nats: &Nats, name: &str) -> Bucket {
    within(LONG, "a bucket", nats.bucket(&BucketSettings::kept(name))).await.unwrap()
}

async fn seen(watching: &mut KeyWatch) -> WatchEvent {
    within(LONG, "something to see", watching.next()).await.unwrap()
}

/// A change without its revision.
async fn change(watching: &mut KeyWatch) -> (String, Option<String>) {
    match seen(watching).await {
        WatchEvent::Change(KeyChange { key, value, .. }) => {
            (key, value.map(|value| String::from_utf8_lossy(&value).into_owned()))
        }
        WatchEvent::Current => panic!("all has been told"),
    }
}

#[tokio::test]
async fn of_two_who_write_over_one_revision_one_is_told_of_the_other() {
    let server = NatsServer::with_jetstream().await;
    let one = body(&server, "one").await;
    let two = body(&server, "two").await;
    let mine = bucket(&one, "desired").await;
    let theirs = bucket(&two, "desired").await;
    assert_eq!(mine.get("head").await.unwrap(), None);
    let first = mine.create("head", "a".into()).await.unwrap();
    let conflict = Err(StoreError::Conflict { bucket: "desired".into(), key: "head".into() });
    assert_eq!(theirs.create("head", "b".into()).await, conflict);
    let second = theirs.update("head", "b".into(), first).await.unwrap();
    assert_eq!(mine.update("head", "c".into(), first).await, conflict);
    let entry = mine.get("head").await.unwrap().unwrap();
    assert_eq!((entry.revision, &entry.value[..]), (second, &b"b"[..]));
    theirs.remove("head").await.unwrap();
    assert_eq!(mine.get("head").await.unwrap(), None);
    mine.create("head", "d".into()).await.unwrap();
}

#[tokio::test]
async fn a_watch_tells_what_is_there_then_that_this_was_all_then_what_changes() {
    let server = NatsServer::with_jetstream().await;
    let nats = body(&server, "one").await;
    let bucket = bucket(&nats, "desired").await;
    let mut nothing = bucket.watch(">").await.unwrap();
    assert_eq!(
        seen(&mut nothing).await,
        WatchEvent::Current,
        "an empty bucket has been told at once"
    );
    for key in ["spec.a", "spec.b", "tree.c"] {
        bucket.put(key, key.to_owned().into()).await.unwrap();
    }
    assert_eq!(change(&mut nothing).await, ("spec.a".into(), Some("spec.a".into())));
    bucket.remove("spec.a").await.unwrap();
    let mut specs = bucket.watch("spec.*").await.unwrap();
    assert_eq!(change(&mut specs).await, ("spec.b".into(), Some("spec.b".into())));
    assert_eq!(change(&mut specs).await, ("spec.a".into(), None));
    assert_eq!(seen(&mut specs).await, WatchEvent::Current);
    let mut none = bucket.watch("none.*").await.unwrap();
    assert_eq!(seen(&mut none).await, WatchEvent::Current, "a filter that nothing passes");
    bucket.put("spec.d", "1".into()).await.unwrap();
    assert_eq!(change(&mut specs).await, ("spec.d".into(), Some("1".into())));
    let all = bucket.all(">").await.unwrap();
    assert_eq!(
        all.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
        ["spec.b", "spec.d", "tree.c"]
    );
}

#[tokio::test]
async fn who_does_not_renew_a_lease_loses_it_and_watchers_are_told() {
    let server = NatsServer::with_jetstream().await;
    let nats = body(&server, "one").await;
    let settings = BucketSettings::leases("presence", Duration::from_secs(1));
    let leases = nats.bucket(&settings).await.unwrap();
    let mut watching = leases.watch(">").await.unwrap();
    assert_eq!(seen(&mut watching).await, WatchEvent::Current);
    leases.put("one", "here".into()).await.unwrap();
    assert_eq!(change(&mut watching).await, ("one".into(), Some("here".into())));
    assert_eq!(change(&mut watching).await, ("one".into(), None));
    assert_eq!(leases.get("one").await.unwrap(), None);
}

#[tokio::test]
async fn an_object_larger_than_a_message_comes_back_as_it_was() {
    let server = NatsServer::with_jetstream().await;
    let nats = body(&server, "one").await;
    let objects = nats.objects("bundles", 1).await.unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    assert_eq!(objects.get("a", usize::MAX).await.unwrap(), None);
    objects.put("a", &large).await.unwrap();
    assert_eq!(objects.get("a", 3_000_000).await.unwrap().unwrap(), large);
    let refused = objects.get("a", 2_999_999).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { bytes: 3_000_000, .. }), "{refused}");
    assert_eq!(
        (objects.has("a").await, objects.names().await),
        (Ok(true), Ok(vec!["a".to_owned()]))
    );
    objects.remove("a").await.unwrap();
    objects.remove("a").await.unwrap();
    assert_eq!((objects.has("a").await, objects.names().await), (Ok(false), Ok(vec![])));
}

#[tokio::test]
async fn what_is_not_there_or_too_large_is_said() {
    let server = NatsServer::with_jetstream().await;
    let nats = body(&server, "one").await;
    let missing = nats.existing_bucket("nowhere").await.map(drop);
    assert_eq!(missing, Err(StoreError::NoBucket("nowhere".into())));
    let bucket = bucket(&nats, "desired").await;
    let large = vec![0; nats.server().max_payload + 1];
    let refused = bucket.put("big", large.into()).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { .. }), "{refused}");
}

#[tokio::test]
async fn what_is_listed_is_removed_at_its_revision_alone_and_leaves_nothing_behind() {
    let server = NatsServer::with_jetstream().await;
    let nats = body(&server, "one").await;
    let bucket = bucket(&nats, "desired").await;
    assert_eq!(bucket.list(">").await.unwrap(), []);
    for key in ["spec.a", "spec.b", "tree.c", "spec.d"] {
        bucket.put(key, key.to_owned().into()).await.unwrap();
    }
    bucket.remove("spec.d").await.unwrap();
    let listed = bucket.list("spec.*").await.unwrap();
    assert_eq!(
        listed.iter().map(|kept| kept.name.as_str()).collect::<Vec<_>>(),
        ["spec.a", "spec.b"]
    );
    assert!(listed.iter().all(|kept| kept.age < LONG), "{listed:?}");
    // One of them is put again meanwhile.
    bucket.put("spec.a", "spec.a".into()).await.unwrap();
    let gone = [
        bucket.remove_at("spec.a", listed[0].revision).await,
        bucket.remove_at("spec.b", listed[1].revision).await,
    ];
    assert_eq!(gone, [Ok(false), Ok(true)]);
    assert_eq!(bucket.remove_at("spec.b", listed[1].revision).await, Ok(false));
    let all = bucket.all(">").await.unwrap();
    assert_eq!(all.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["spec.a", "tree.c"]);
    let first = bucket.list("spec.a").await.unwrap();
    eventually("an older value", LONG, async || {
        bucket.list("spec.a").await.unwrap()[0].age > first[0].age
    })
    .await;
    assert!(bucket.age().await.unwrap() >= first[0].age);
    let latest = bucket.get_latest("spec.a").await;
    let got = bucket.get("spec.a").await;
    assert_eq!(latest, got);
    assert_eq!(
        (bucket.get_latest("spec.d").await, bucket.get_latest("spec.none").await),
        (Ok(None), Ok(None))
    );
    assert_eq!(bucket.replicas(), None, "the server is alone");
}

#[tokio::test]
async fn an_object_that_is_put_anew_stays_and_what_a_dead_deployer_left_is_swept() {
    let server = NatsServer::with_jetstream().await;
    let nats = body(&server, "one").await;
    let objects = nats.objects("bundles", 3).await.unwrap();
    assert!(
        nats.existing_objects("bundles").await.is_ok()
            && nats.existing_objects("none").await.is_err()
    );
    for name in ["a", "b"] {
        objects.put(name, &[7; 300_000]).await.unwrap();
    }
    let listed = objects.list().await.unwrap();
    assert_eq!(
        listed.iter().map(|object| object.kept.name.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    objects.put("a", &[7; 300_000]).await.unwrap();
    assert_eq!(
        (objects.remove_at(&listed[0]).await, objects.remove_at(&listed[1]).await),
        (Ok(false), Ok(true))
    );
    assert_eq!(objects.get("a", usize::MAX).await.unwrap().unwrap(), vec![7; 300_000]);
    assert_eq!(objects.get("b", usize::MAX).await, Ok(None));
    // Pieces without a name.
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client.clone());
    stream.publish("$O.bundles.C.half", "piece".into()).await.unwrap().await.unwrap();
    assert_eq!(objects.sweep(LONG).await, Ok(0), "somebody may be about to name them");
    eventually("an old piece", LONG, async || {
        objects.sweep(Duration::from_millis(1)).await.unwrap() == 1
    })
    .await;
    assert_eq!(objects.sweep(Duration::ZERO).await, Ok(0));
    assert_eq!(objects.get("a", usize::MAX).await.unwrap().unwrap(), vec![7; 300_000]);
}

#[tokio::test]
async fn an_answer_of_jetstream_that_lies_under_a_key_is_no_value_however_it_is_read() {
    let server = NatsServer::with_jetstream().await;
    let nats = body(&server, "one").await;
    let (bucket, others) = (bucket(&nats, "desired").await, bucket(&nats, "verdicts").await);
    bucket.put("head", "right".into()).await.unwrap();
    let mut watching = bucket.watch("head").await.unwrap();
    assert_eq!(change(&mut watching).await, ("head".into(), Some("right".into())));
    assert_eq!(seen(&mut watching).await, WatchEvent::Current);
    others.put("x", "forged".into()).await.unwrap();
    // A client that may ask also names the subject that the answer goes to.
    let stranger = plain(&server).await;
    let question = "$JS.API.DIRECT.GET.KV_verdicts.$KV.verdicts.x";
    stranger.publish_with_reply(question, "$KV.desired.head", "".into()).await.unwrap();
    assert_eq!(change(&mut watching).await, ("head".into(), Some(String::new())));
    let got = bucket.get("head").await.unwrap().unwrap();
    let latest = bucket.get_latest("head").await.unwrap().unwrap();
    assert_eq!((&got.value[..], &got), (&b""[..], &latest));
    assert_eq!(bucket.all("head").await.unwrap(), [("head".to_owned(), got.clone())]);
    // It can be overwritten like any other value.
    bucket.update("head", "mended".into(), got.revision).await.unwrap();
    assert_eq!(bucket.get("head").await.unwrap().unwrap().value, "mended");
}

#[tokio::test]
async fn a_full_store_is_told_at_once_and_what_did_not_fit_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let limit =
        format!("jetstream {{ store_dir: \"{}\", max_file_store: 1MB }}", folder.path().display());
    let server = NatsServer::with_config(&limit).await;
    let nats = body(&server, "one").await;
    let objects = nats.objects("bundles", 1).await.unwrap();
    for _ in 0..2 {
        let started = Instant::now();
        let refused = objects.put("large", &[7; 3_000_000]).await.unwrap_err();
        assert!(
            matches!(&refused, StoreError::Refused { reason, .. } if reason.contains("full")),
            "{refused}"
        );
        assert!(started.elapsed() < LONG / 4, "{:?}", started.elapsed());
        objects.put("small", &[7; 300_000]).await.unwrap();
    }
    assert_eq!(objects.names().await.unwrap(), ["small"]);
    assert_eq!(objects.sweep(Duration::ZERO).await, Ok(0), "no piece without a name");
}

/// Gives the clients of one server the JetStream of another, as in a cluster, while the value is
/// held.
async fn share_jetstream(of: &NatsServer, with: &NatsServer) -> JoinSet<()> {
    let patient = async_nats::ConnectOptions::new().request_timeout(None);
    let (of, with, mut tasks) =
        (patient.connect(of.url()).await.unwrap(), plain(with).await, JoinSet::new());
    for subject in ["$JS.API.>", "$KV.>"] {
        let (of, with, asked) = (of.clone(), with.clone(), with.subscribe(subject).await.unwrap());
        tasks.spawn(asked.for_each_concurrent(None, move |question| {
            let (of, with) = (of.clone(), with.clone());
            async move {
                let request = async_nats::Request::new().payload(question.payload);
                let request = request.headers(question.headers.unwrap_or_default());
                let answer = of.send_request(question.subject, request).await.unwrap();
                let headers = answer.headers.unwrap_or_default();
                with.publish_with_headers(question.reply.unwrap(), headers, answer.payload)
                    .await
                    .unwrap();
            }
        }));
    }
    settle(&with).await;
    tasks
}

#[tokio::test]
async fn where_another_server_has_jetstream_only_the_first_question_has_a_short_limit() {
    let without = NatsServer::start().await;
    let with = NatsServer::with_jetstream().await;
    let nats = body(&without, "one").await;
    let nobody =
        within(AT_ONCE, "the word that there is none", nats.existing_bucket("desired")).await;
    assert_eq!(nobody.err(), Some(StoreError::NoJetStream));

    let _shared = share_jetstream(&with, &without).await;
    assert!(!nats.server().jetstream);
    let bucket = bucket(&nats, "desired").await;
    bucket.put("head", "a".into()).await.unwrap();
    with.pause();
    let mut asked = Box::pin(async {
        tokio::join!(bucket.get_latest("head"), nats.existing_bucket("desired"))
    });
    assert!(timeout(ELECTION, &mut asked).await.is_err(), "it gave up within {ELECTION:?}");
    with.resume();
    let (got, opened) = within(LONG, "answers", asked).await;
    assert_eq!(got.unwrap().unwrap().value, "a");
    assert_eq!(opened.unwrap().name(), "desired");
}

/// A client that subscribes to all subjects keeps the server from saying that nobody answers: then
/// silence is all that there is, whether another server has JetStream or not.
#[tokio::test]
async fn silence_after_the_first_question_is_not_reported_as_no_jetstream() {
    let server = NatsServer::start().await;
    let listener = plain(&server).await;
    let mut all = listener.subscribe(">").await.unwrap();
    listener.publish("mark", "".into()).await.unwrap();
    within(LONG, "its own message", all.next()).await.unwrap();
    let nats = body(&server, "one").await;
    let silent = within(LONG, "an error", nats.existing_bucket("desired")).await.err().unwrap();
    assert!(matches!(&silent, StoreError::Unavailable { .. }), "{silent}");
    assert!(
        silent.to_string().starts_with(
            "desired: no answer from JetStream within 3s, and this server has none: start it with `-js`"
        ),
        "{silent}"
    );
}
