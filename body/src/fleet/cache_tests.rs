use std::sync::atomic::AtomicUsize;

use super::*;

fn body() -> BodyId {
    "one".parse().unwrap()
}

fn bundle(text: &str) -> (ContentHash, Bytes) {
    let mut bundle = Bundle::default();
    bundle.add("code/say.py", false, text.as_bytes().to_vec()).unwrap();
    bundle.add("code/run", true, b"#!/bin/sh\n".to_vec()).unwrap();
    let bytes = bundle.encode().unwrap();
    (ContentHash::of(&bytes), bytes.into())
}

async fn fetched(cache: &Cache, bundle: &(ContentHash, Bytes), fetches: &AtomicUsize) -> Arc<Code> {
    let fetch = async {
        fetches.fetch_add(1, Ordering::Relaxed);
        Ok((bundle.1.clone(), ()))
    };
    cache.code(bundle.0, fetch).await.unwrap()
}

#[tokio::test]
async fn code_is_fetched_once_is_read_only_and_goes_when_nobody_uses_it() {
    let above = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(above.path(), &body()).unwrap();
    let one = bundle("one");
    let fetches = AtomicUsize::new(0);
    let (first, second) =
        tokio::join!(fetched(&cache, &one, &fetches), fetched(&cache, &one, &fetches));
    assert_eq!((first.folder(), fetches.load(Ordering::Relaxed)), (second.folder(), 1));
    let mode =
        |file: &str| fs::metadata(first.folder().join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("code/say.py"), mode("code/run")), (0o400, 0o500));
    let folder = first.folder().to_owned();
    drop(first);
    assert!(folder.is_dir(), "another uses it");
    drop(second);
    testkit::eventually("the folder to be gone", std::time::Duration::from_secs(10), async || {
        !folder.exists()
    })
    .await;
    drop(fetched(&cache, &one, &fetches).await);
    assert_eq!(fetches.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn code_that_was_changed_is_not_used_again() {
    let above = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(above.path(), &body()).unwrap();
    let one = bundle("one");
    let fetches = AtomicUsize::new(0);
    let first = fetched(&cache, &one, &fetches).await;
    let file = first.folder().join("code/say.py");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "two").unwrap();
    let second = fetched(&cache, &one, &fetches).await;
    assert_eq!(fs::read(second.folder().join("code/say.py")).unwrap(), b"one");
    assert_eq!(fs::read(&file).unwrap(), b"two", "who uses it keeps it");
}

#[test]
fn what_the_dead_left_is_swept_and_what_the_living_use_is_not() {
    let above = tempfile::tempdir().unwrap();
    let alive = Cache::in_folder(above.path(), &body()).unwrap();
    fs::write(alive.folder.join("code"), "alive").unwrap();
    let dead = above.path().join("two.1-0");
    let lock = above.path().join("two.1-0.lock");
    fs::create_dir(&dead).unwrap();
    fs::write(&lock, "").unwrap();
    let other = Cache::in_folder(above.path(), &body()).unwrap();
    assert!(!dead.exists() && !lock.exists());
    assert!(alive.folder.join("code").exists() && alive.folder != other.folder);
    drop((alive, other));
    assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0);
}
