use std::collections::BTreeSet;

use bus_nats::Options;
use testkit::{NatsServer, within};

use super::*;
use crate::fleet::store::desired_settings;

type Checked = Result<(), Box<dyn std::error::Error>>;

/// Time far below [`WORK_LIMIT`].
const SOON: Duration = Duration::from_secs(5);

struct Stage {
    server: NatsServer,
    link: watch::Sender<LinkState>,
    desired: Bucket,
    watches: Watches,
}

/// Makes watches on a connection that is up, and on the bucket of heads.
async fn stage() -> Result<Stage, Box<dyn std::error::Error>> {
    let server = NatsServer::with_jetstream().await;
    let nats = Nats::connect_client(Options::new(server.url(), "one".parse()?)).await?;
    let namespace = Namespace::default();
    let desired = nats.bucket(&desired_settings(&namespace)).await?;
    let (link, state) = watch::channel(LinkState::Up);
    let mut watches = Watches::new(nats, namespace, "one".parse()?, state);
    watches.desired = Some(desired.clone());
    Ok(Stage { server, link, desired, watches })
}

fn spec(text: &str) -> (Key, Bytes) {
    (Key::Spec(ContentHash::of(text.as_bytes())), text.as_bytes().to_vec().into())
}

fn name(key: &Key) -> String {
    if let Key::Spec(hash) = key { keys::spec(hash) } else { String::new() }
}

#[tokio::test]
async fn what_is_missing_comes_and_what_is_lost_or_wrong_holds_nothing_up() -> Checked {
    let Stage { server: _server, desired, mut watches, .. } = stage().await?;
    let specs: Vec<(Key, Bytes)> = (0..100).map(|number| spec(&format!("spec {number}"))).collect();
    for (key, bytes) in specs.iter().skip(1) {
        desired.put(&name(key), bytes.clone()).await?;
    }
    let wrong = &specs[1].0;
    let lost = &specs[0].0;
    desired.put(&name(wrong), "not a spec".into()).await?;
    watches.fetch(specs.iter().map(|(key, _)| *key).collect());
    assert!(watches.under_way.fetching);
    let mut come = BTreeSet::new();
    while come.len() < 98 {
        let (key, bytes) =
            within(SOON, "an object", watches.fetched.1.recv()).await.ok_or("no object")?;
        assert!(specs.contains(&(key, bytes)) && ![wrong, lost].contains(&&key));
        come.insert(name(&key));
    }
    let done = within(SOON, "the end of the fetch", watches.work.join_next()).await;
    assert!(matches!(done, Some(Ok(Done::Fetched(0)))));
    assert!(watches.fetched.1.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_fetch_and_a_look_end_with_their_connection() -> Checked {
    let Stage { server, link, desired, mut watches } = stage().await?;
    let (key, bytes) = spec("one");
    desired.put(&name(&key), bytes).await?;
    watches.open_watches.head = Some(desired.watch(keys::HEAD).await?);
    server.pause();
    watches.fetch(vec![key]);
    watches.look(false);
    link.send_replace(LinkState::Down);
    watches.close();
    assert!(!watches.under_way.fetching, "it would hold up the next one");
    for what in ["the fetch", "the look"] {
        let ended = within(SOON, what, watches.work.join_next()).await;
        assert!(
            ended.is_some_and(|ended| ended.is_err()),
            "{what} tells nothing of the next connection"
        );
    }
    watches.fetch(vec![key]);
    assert!(
        !watches.under_way.fetching && watches.work.is_empty(),
        "nothing is asked for where nobody answers"
    );
    server.resume();
    link.send_replace(LinkState::Up);
    watches.fetch(vec![key]);
    let come = within(SOON, "the object", watches.fetched.1.recv()).await;
    assert!(come.is_some_and(|(come, _)| come == key));
    // The end of a former fetch is not that of this one.
    watches.has_fetched(0);
    assert!(watches.under_way.fetching);
    Ok(())
}

#[tokio::test]
async fn verdicts_are_sought_by_one_on_each_connection() -> Checked {
    let Stage { server: _server, mut watches, .. } = stage().await?;
    for _ in 0..3 {
        watches.seek_verdicts();
    }
    assert_eq!(watches.work.len(), 1);
    watches.close();
    assert!(
        within(SOON, "its end", watches.work.join_next()).await.is_some_and(|ended| ended.is_err())
    );
    watches.seek_verdicts();
    let done = within(SOON, "the verdicts", watches.work.join_next()).await;
    let Some(Ok(Done::Judges(epoch, verdicts))) = done else { return Err("no verdicts".into()) };
    assert!(watches.judges(epoch, *verdicts).is_some_and(|known| known.is_empty()));
    watches.seek_verdicts();
    assert!(watches.work.is_empty(), "they are heard of already");
    Ok(())
}
