use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Instant,
};

use bus_nats::{Nats, Options};
use cbs::Target;
use fleet::{Entry, Object, Version};
use testkit::{NatsServer, eventually, within};

use super::*;
use crate::fleet::{Artifact, ChangeSet, RetryUntil, Written};

type Checked = Result<(), Box<dyn std::error::Error>>;

const LONG: Duration = Duration::from_secs(30);
/// An hour, made short: longer than a deploy takes on a busy machine.
const AGE: Duration = Duration::from_secs(3);
/// An hour in deploys: longer than one takes, and shorter than [`THINGS`] take.
const DEPLOYS: u32 = 20;
const THINGS: usize = 60;

async fn store(server: &NatsServer, age: Duration) -> anyhow::Result<Store> {
    let nats = Nats::connect_client(Options::new(server.url(), "deployer".parse()?)).await?;
    Ok(Store::open(nats, cbs::Namespace::default()).await?.with_garbage_age(age))
}

/// A cell with this text as its spec and its code.
fn artifact(name: &str, text: &str) -> anyhow::Result<Artifact> {
    let bundle = Object::new(format!("code of {text}").into_bytes())?;
    let spec = Object::new(text.as_bytes().to_vec())?;
    let entry = Entry::new(Version::new(spec.hash, Some(bundle.hash)), "python");
    Ok(Artifact { target: name.parse::<Target>()?, entry, spec, bundle: Some(bundle) })
}

async fn changes(store: &Store, artifact: Artifact) -> anyhow::Result<ChangeSet> {
    let inventory = store.inventory().await?;
    ChangeSet::deploy(store.now().await?, inventory, vec![artifact])
}

fn head(changes: &ChangeSet) -> Head {
    Head::after(changes.base().head.as_ref().map(|(head, _)| head), changes.root(), "ada", 0, "")
}

async fn deploy(store: &Store, artifact: Artifact) -> anyhow::Result<Written> {
    let changes = changes(store, artifact).await?;
    changes.write(store, head(&changes), &RetryUntil::new(store.nats().clone(), LONG, |_| {})).await
}

/// Waits until all stored objects are old.
async fn until_old(store: &Store) {
    eventually("old content", LONG, async || {
        store.inventory().await.is_ok_and(|inventory| {
            let kept = inventory.trees.values().chain(inventory.specs.values());
            kept.chain(inventory.bundles.values().map(|object| &object.kept))
                .all(|kept| kept.age > store.garbage_age())
        })
    })
    .await;
}

/// Returns all stored objects, then those that heads reach.
async fn reached(store: &Store) -> anyhow::Result<(Inventory, Reachable)> {
    let inventory = store.inventory().await?;
    let reached = store.reached(&inventory).await?;
    Ok((inventory, reached))
}

/// Returns the objects that heads reach and that are missing in the store.
async fn lost(store: &Store) -> anyhow::Result<Vec<ContentHash>> {
    let (inventory, reached) = reached(store).await?;
    let lies = |hash: &ContentHash| {
        inventory.trees.contains_key(hash)
            || inventory.specs.contains_key(hash)
            || inventory.bundles.contains_key(hash)
    };
    let all = reached.trees.into_iter().chain(reached.specs).chain(reached.bundles);
    Ok(all.filter(|hash| !lies(hash)).collect())
}

#[tokio::test]
async fn what_a_head_in_history_reaches_stays_and_what_a_lost_deploy_left_goes() -> Checked {
    let server = NatsServer::with_jetstream().await;
    let store = store(&server, AGE).await?;
    for text in ["one", "two"] {
        deploy(&store, artifact("demo.say", text)?).await?;
    }
    // Content of a deployer that died before its head.
    let dead = changes(&store, artifact("demo.dead", "three")?).await?;
    dead.put(&store).await?;
    assert_eq!(store.collect().await?, 0, "it is young: its head may be about to be set");
    until_old(&store).await;
    assert_eq!(store.collect().await?, 4, "a root, a leaf, a spec and a bundle");
    assert_eq!((store.collect().await?, lost(&store).await?), (0, Vec::new()));
    let inventory = store.inventory().await?;
    assert_eq!((inventory.trees.len(), inventory.specs.len(), inventory.bundles.len()), (4, 2, 2));
    Ok(())
}

#[tokio::test]
async fn while_history_cannot_be_read_nothing_goes() -> Checked {
    let server = NatsServer::with_jetstream().await;
    let store = store(&server, Duration::from_millis(1)).await?;
    let hour = store.with_garbage_age(Duration::from_hours(1));
    for text in ["one", "two", "three", "four"] {
        deploy(&hour, artifact("demo.say", text)?).await?;
    }
    let store = hour.with_garbage_age(Duration::from_millis(1));
    until_old(&store).await;
    let whole = store.inventory().await?;
    let before = store.desired().get(&keys::history(2)).await?.ok_or("a head")?;
    // A gap, a manifest that is not whole.
    store.desired().remove(&keys::history(2)).await?;
    assert!(store.collect().await.is_err_and(|error| error.to_string().contains("gap")));
    store.desired().put(&keys::history(2), before.value).await?;
    let root = store.history().await?.get(3)?.manifest;
    let tree = whole.trees.get(&root).ok_or("a root")?;
    store.desired().remove_at(&tree.name, tree.revision).await?;
    assert!(
        store.collect().await.is_err_and(|error| error.to_string().contains("not there any more"))
    );
    let now = store.inventory().await?;
    assert_eq!((now.trees.len(), now.specs.len(), now.bundles.len()), (7, 4, 4));
    Ok(())
}

#[tokio::test]
async fn while_an_entry_of_history_cannot_be_read_all_that_it_may_name_stays_and_the_rest_goes()
-> Checked {
    let server = NatsServer::with_jetstream().await;
    let store = store(&server, AGE).await?;
    for text in ["one", "two", "three"] {
        deploy(&store, artifact("demo.say", text)?).await?;
    }
    let whole = store.inventory().await?;
    let before = store.desired().get(&keys::history(2)).await?.ok_or("a head")?;
    // Two deployers that died before their heads; of one the root is there.
    changes(&store, artifact("demo.dead", "four")?).await?.put(&store).await?;
    let dead = changes(&store, artifact("demo.rootless", "five")?).await?;
    dead.put(&store).await?;
    let root = store.inventory().await?.trees.get(&dead.root()).cloned().ok_or("a root")?;
    store.desired().remove_at(&root.name, root.revision).await?;
    for damaged in ["{}", "", &String::from_utf8(store.history().await?.get(1)?.encode())?] {
        store.desired().put(&keys::history(2), damaged.to_owned().into()).await?;
        assert_eq!(store.heads().await?.1, [keys::history(2)], "{damaged}");
    }
    until_old(&store).await;
    assert_eq!(store.collect().await?, 3, "a leaf, a spec and a bundle of the one without a root");
    assert_eq!(store.collect().await?, 0);
    let now = store.inventory().await?;
    let names = |inventory: &Inventory| {
        inventory
            .trees
            .keys()
            .chain(inventory.specs.keys())
            .chain(inventory.bundles.keys())
            .copied()
            .collect::<BTreeSet<_>>()
    };
    assert!(names(&now).is_superset(&names(&whole)));
    store.desired().put(&keys::history(2), before.value).await?;
    assert_eq!(
        (store.collect().await?, lost(&store).await?),
        (4, Vec::new()),
        "the other dead one's"
    );
    Ok(())
}

#[test]
fn an_entry_of_history_without_a_number_stays_until_somebody_removes_it() {
    assert_eq!(until(&keys::history(2)), "until newer generations replace it");
    for key in ["history.x", "history.2x"] {
        assert_eq!(until(key), "until somebody removes it (`nats kv del`)", "{key}");
    }
}

/// The worst moment: a collector has listed old content and read history, then another process
/// deploys that content.
#[tokio::test]
async fn content_that_is_deployed_again_while_it_is_collected_stays() -> Checked {
    for is_careful in [true, false] {
        let server = NatsServer::with_jetstream().await;
        let store = store(&server, AGE).await?;
        deploy(&store, artifact("demo.say", "one")?).await?;
        changes(&store, artifact("demo.say", "two")?).await?.put(&store).await?;
        until_old(&store).await;
        let (inventory, reached) = reached(&store).await?;
        if is_careful {
            deploy(&store, artifact("demo.say", "two")?).await?;
        } else {
            // A bug: it sees that all is there, and only sets its head.
            let changes = changes(&store, artifact("demo.say", "two")?).await?;
            let (old, revision) = changes.base().head.clone().ok_or("a head")?;
            store.desired().put(&keys::history(old.number), old.encode().into()).await?;
            store.desired().update(keys::HEAD, head(&changes).encode().into(), revision).await?;
        }
        let removed = store.remove(&inventory, &reached).await?;
        if is_careful {
            assert_eq!((removed, lost(&store).await?), (0, Vec::new()));
        } else {
            assert_eq!(removed, 4);
            assert!(lost(&store).await.is_err(), "this test cannot see a loss");
        }
    }
    Ok(())
}

/// Two deployers deploy sixty things again and again while a collector runs. Each thing has left
/// history and is old when it is deployed again.
#[tokio::test]
async fn two_who_deploy_and_one_who_collects_lose_nothing() -> Checked {
    let server = NatsServer::with_jetstream().await;
    // A busy machine takes longer for all of it.
    let first = store(&server, AGE).await?;
    let began = Instant::now();
    for text in ["one", "two", "three"] {
        deploy(&first, artifact("demo.say", text)?).await?;
    }
    let age = began.elapsed() / 3 * DEPLOYS;
    let store = async || Ok::<_, anyhow::Error>(store(&server, age).await?.with_history_max(4));
    let stores = [store().await?, store().await?, store().await?];
    let turn = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    let written = AtomicUsize::new(0);
    let removed = AtomicUsize::new(0);
    // On a busy machine something is old, and history stands still for a collector's look at it,
    // only now and then.
    let is_over = || written.load(Ordering::Relaxed) >= 100 && removed.load(Ordering::Relaxed) > 0;
    let deployer = async |store: &Store| {
        while !is_over() {
            let text = (turn.fetch_add(1, Ordering::Relaxed) % THINGS).to_string();
            // A conflict, or the machine was too busy for so short an hour: it sets no head, or
            // puts what it reuses anew. The next one comes.
            if let Ok(Written::Head(_)) = deploy(store, artifact("demo.say", &text)?).await {
                written.fetch_add(1, Ordering::Relaxed);
            }
        }
        done.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let collector = async |store: &Store| {
        while !done.load(Ordering::Relaxed) {
            // History changes under it: then it has no whole view, and leaves all as it is.
            removed.fetch_add(store.collect().await.unwrap_or_default(), Ordering::Relaxed);
        }
    };
    let all =
        async { tokio::join!(deployer(&stores[0]), deployer(&stores[1]), collector(&stores[2])) };
    let limited =
        within(LONG * 3, "a hundred deploys, and something that is collected", Box::pin(all));
    let (one, two, ()) = Box::pin(limited).await;
    one.and(two)?;
    assert_eq!(lost(&stores[0]).await?, Vec::new());
    assert_eq!(stores[0].history().await?.heads().len(), 4);
    Ok(())
}

#[tokio::test]
async fn lost_content_is_put_back_by_who_has_it() -> Checked {
    let server = NatsServer::with_jetstream().await;
    let store = store(&server, Duration::from_hours(1)).await?;
    deploy(&store, artifact("demo.say", "one")?).await?;
    let inventory = store.inventory().await?;
    for kept in inventory.specs.values().chain(inventory.trees.values()) {
        assert!(store.desired().remove_at(&kept.name, kept.revision).await?);
    }
    let bundles = store.bundles().await?;
    for object in inventory.bundles.values() {
        assert!(bundles.remove_at(object).await?);
    }
    let again = changes(&store, artifact("demo.say", "one")?).await?;
    assert!(again.is_empty() && again.broken().is_empty());
    assert_eq!(again.put(&store).await?, 4, "a root, a leaf, a spec and a bundle");
    assert_eq!(lost(&store).await?, Vec::new());
    // Something else cannot be deployed over a manifest that nobody knows.
    let root = store.now().await?.head.ok_or("a head")?.0.manifest;
    let kept = store.inventory().await?.trees.get(&root).cloned().ok_or("a root")?;
    store.desired().remove_at(&kept.name, kept.revision).await?;
    let other = changes(&store, artifact("demo.other", "two")?).await.err().ok_or("an error")?;
    assert!(other.to_string().contains("not in the store any more"), "{other}");
    Ok(())
}

/// Another deployer's head while the result of one that was sent is unknown: it is set, it is in
/// history, or another head is set.
#[tokio::test]
async fn a_head_of_which_nobody_knows_whether_it_was_written_is_looked_for() -> Checked {
    let server = NatsServer::with_jetstream().await;
    let store = store(&server, Duration::from_hours(1)).await?;
    let patience = RetryUntil::new(store.nats().clone(), LONG, |_| {});
    deploy(&store, artifact("demo.say", "one")?).await?;
    let lost = changes(&store, artifact("demo.say", "two")?).await?;
    let late = changes(&store, artifact("demo.say", "six")?).await?;
    let sent = head(&lost);
    let is_set = |written: &Written| matches!(written, Written::Head(head) if head.number == 2);
    for _ in 0..2 {
        assert!(
            is_set(&lost.write(&store, sent.clone(), &patience).await?),
            "it was written, and is told so again"
        );
    }
    deploy(&store, artifact("demo.say", "three")?).await?;
    assert!(
        is_set(&lost.write(&store, sent, &patience).await?),
        "it was written, and replaced since"
    );
    let written = late.write(&store, head(&late), &patience).await?;
    assert!(matches!(written, Written::Conflict(conflict) if conflict.head.number == 3));
    let heads = store.history().await?;
    assert_eq!(heads.heads().iter().map(|head| head.number).collect::<Vec<_>>(), [1, 2, 3]);
    Ok(())
}

/// A head that was sent in time and arrives when the content it reuses has grown old, while a
/// collector runs.
#[tokio::test]
async fn what_a_late_head_reuses_is_put_anew() -> Checked {
    let server = NatsServer::with_jetstream().await;
    let store = store(&server, AGE).await?;
    deploy(&store, artifact("demo.say", "one")?).await?;
    changes(&store, artifact("demo.say", "two")?).await?.put(&store).await?;
    let changes = changes(&store, artifact("demo.say", "two")?).await?;
    changes.put(&store).await?;
    let patience = RetryUntil::new(store.nats().clone(), LONG, |_| {});
    let sent = head(&changes);
    let (old, revision) = changes.base().head.clone().ok_or("a head")?;
    until_old(&store).await;
    let (inventory, reached) = reached(&store).await?;
    store.desired().put(&keys::history(old.number), old.encode().into()).await?;
    store.desired().update(keys::HEAD, sent.encode().into(), revision).await?;
    assert!(matches!(changes.write(&store, sent, &patience).await?, Written::Head(_)));
    assert_eq!((store.remove(&inventory, &reached).await?, lost(&store).await?), (0, Vec::new()));
    Ok(())
}
