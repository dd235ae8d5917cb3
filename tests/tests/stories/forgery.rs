//! Forged bundles: a client that may write the buckets can change a bundle.

use std::path::Path;

use async_nats::jetstream::{self, kv, object_store::ObjectStore};
use bytes::Bytes;
use e2e::{Body, Fleet, LIMIT};
use futures::StreamExt;
use serde_json::{Value, json};
use testkit::eventually;

/// The buckets of a deploy, for a client that knows nothing of CBS but their names.
struct Buckets {
    desired: kv::Store,
    bundles: ObjectStore,
}

impl Buckets {
    async fn of(fleet: &Fleet) -> Self {
        let jetstream = jetstream::new(fleet.caller().await.client().clone());
        let desired = jetstream.get_key_value("cbs_default_desired").await.unwrap();
        Self { desired, bundles: jetstream.get_object_store("cbs_default_bundles").await.unwrap() }
    }

    /// Returns the names of the bundles.
    async fn names(&self) -> Vec<String> {
        let listed = self.bundles.list().await.unwrap();
        listed.map(|object| object.unwrap().name).collect().await
    }

    async fn head(&self) -> Value {
        serde_json::from_slice(&self.desired.get("head").await.unwrap().unwrap()).unwrap()
    }
}

/// Starts a body that has fetched only the first text; also returns the bundle's name of the second
/// one.
async fn prepared() -> (Fleet, e2e::Process, Buckets, String) {
    let fleet = Fleet::with_jetstream().await;
    let mut body = fleet.up(&Body::without_files("one")).await;
    fleet.deploy(&fleet.world.says("first", "")).await.with_status(0);
    let buckets = Buckets::of(&fleet).await;
    let first = buckets.names().await;
    fleet.deploy(&fleet.world.says("second", "")).await.with_status(0);
    let second = buckets.names().await.into_iter().find(|name| !first.contains(name)).unwrap();
    fleet.run(&["rollback"]).await.with_status(0);
    body.terminate().await.with_status(0);
    let body = fleet.up(&Body::without_files("one")).await;
    eventually("the first text again", LIMIT, async || fleet.standings().await.are(1, 1)).await;
    (fleet, body, buckets, second)
}

async fn assert_the_first_is_said(fleet: &Fleet) {
    let answer = fleet.caller().await.call("demo.say", &json!({})).await;
    assert_eq!(answer.text("text"), "first");
}

#[tokio::test]
async fn a_bundle_of_other_bytes_than_its_name_says_is_refused_and_the_old_goes_on() {
    let (fleet, _body, buckets, second) = Box::pin(prepared()).await;
    let mut other: &[u8] = b"cbs-bundle 1\n";
    buckets.bundles.put(second.as_str(), &mut other).await.unwrap();
    let done = fleet.run(&["rollback", "--to", "2", "--timeout", "20s"]).await.with_status(1);
    assert!(
        done.stderr.contains("has the hash") && done.stderr.contains("it is not unpacked"),
        "{}",
        done.stderr
    );
    assert_the_first_is_said(&fleet).await;
}

#[tokio::test]
async fn a_bundle_that_climbs_out_of_its_folder_is_refused_and_the_old_goes_on() {
    let (fleet, body, buckets, second) = Box::pin(prepared()).await;
    let evil = bundle("../climbed.py", b"print('out')\n");
    let name = hash(&fleet, &evil).await;
    buckets.bundles.put(name.as_str(), &mut evil.as_slice()).await.unwrap();
    // A manifest of the second text that contains the other bundle, and a head that names it.
    let history = fleet.run(&["history", "--format", "json"]).await.with_status(0).stdout;
    let heads: Value = serde_json::from_str(&history).unwrap();
    let mut root = heads[1]["manifest"].as_str().unwrap().to_owned();
    let mut names = vec![(second, name)];
    for key in trees(&buckets, &root).await {
        let old = buckets.desired.get(format!("tree.{key}")).await.unwrap().unwrap();
        let new =
            names.iter().fold(String::from_utf8(old.to_vec()).unwrap(), |text, (old, new)| {
                text.replace(old, new)
            });
        let hash = hash(&fleet, new.as_bytes()).await;
        buckets.desired.put(format!("tree.{hash}"), Bytes::from(new)).await.unwrap();
        if key == root {
            root.clone_from(&hash);
        }
        names.push((key, hash));
    }
    let mut head = buckets.head().await;
    head["manifest"] = json!(root);
    head["number"] = json!(4);
    buckets.desired.put("head", Bytes::from(head.to_string())).await.unwrap();
    let words = "is none that a bundle may have";
    eventually("the body to say why not", LIMIT, async || fleet.standings().await.mention(words))
        .await;
    assert_the_first_is_said(&fleet).await;
    assert!(!wrote(body.pid(), "climbed.py"), "it was unpacked");
}

/// Returns the objects of a manifest, its root last.
async fn trees(buckets: &Buckets, root: &str) -> Vec<String> {
    let text = buckets.desired.get(format!("tree.{root}")).await.unwrap().unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let mut keys = buckets.desired.keys().await.unwrap();
    let mut leaves = Vec::new();
    while let Some(key) = keys.next().await {
        leaves.extend(
            key.unwrap()
                .strip_prefix("tree.")
                .filter(|leaf| text.contains(leaf))
                .map(str::to_owned),
        );
    }
    leaves.push(root.to_owned());
    leaves
}

/// Returns a bundle of one file.
fn bundle(path: &str, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(path.len()).unwrap().to_be_bytes();
    let size = (content.len() as u64).to_be_bytes();
    [b"cbs-bundle 1\n", &length[..], path.as_bytes(), &[0], &size, content].concat()
}

/// Returns the hash that is the key of this content: SHA-256.
async fn hash(fleet: &Fleet, bytes: &[u8]) -> String {
    let file = fleet.world.here().join("hashed");
    std::fs::write(&file, bytes).unwrap();
    let mut command = fleet.world.command(Path::new("sha256sum"));
    command.arg(file);
    let done = fleet.world.finish(command).await.with_status(0);
    done.stdout.split_whitespace().next().unwrap().to_owned()
}

/// True if a file of this name is among the files that a body has fetched, or beside them.
fn wrote(body: i32, name: &str) -> bool {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let cache =
        cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache"))).unwrap();
    let bodies = cache.join("cbs/bodies");
    // The folder's name begins with the body's id and its process id.
    let own = format!("one.{body}-");
    let is_own = |path: &Path| {
        path.is_dir()
            && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own))
    };
    let mut folders: Vec<_> = within(&bodies).into_iter().filter(|path| is_own(path)).collect();
    assert!(
        !folders.is_empty(),
        "no {own}* in {}: bodies keep their code elsewhere",
        bodies.display()
    );
    if bodies.join(name).exists() {
        return true;
    }
    while let Some(folder) = folders.pop() {
        for path in within(&folder) {
            if path.file_name().is_some_and(|found| found == name) {
                return true;
            }
            folders.extend(Some(path).filter(|path| path.is_dir()));
        }
    }
    false
}

fn within(folder: &Path) -> Vec<std::path::PathBuf> {
    folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
