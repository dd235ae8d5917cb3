//! Desired state: whole or nothing, in order, and the content that may be deleted.

use std::collections::{BTreeMap, BTreeSet};

use cbs::Target;
use fleet::{
    Action, Conflict, ContentHash, Contents, ENTRIES_MAX, Entry, GARBAGE_AGE_MS, Head, History,
    Item, Manifest, ManifestError, OBJECT_BYTES_MAX, Stored, diff, garbage, keys, reachable,
};
use model::{Replicas, Rollout};
use proptest::prelude::*;

use crate::stage::{Checked, SPECS, Stage, entry};

#[test]
fn fleet_1_a_manifest_that_is_not_whole_changes_nothing() -> Checked {
    let mut stage = Stage::new(1)?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(1000)?;
    let (head, objects) = stage.prepare(&[("cell a.b", entry("never stored").into())])?;
    stage.set_head(head)?;
    stage.run(1000)?;
    assert_eq!(stage.bodies[0].missing(), [keys::Key::Tree(objects[0].hash)]);
    stage.objects(&objects)?;
    stage.run(1000)?;
    let spec = ContentHash::of(b"never stored");
    assert_eq!(stage.bodies[0].missing(), [keys::Key::Spec(spec)]);
    let now = stage.now;
    assert!(stage.bodies[0].spec(spec, b"something else", now).is_err());
    stage.run(10_000)?;
    assert_eq!(stage.serving("cell a.b"), [(0, entry("one").version.revision)]);
    assert!(stage.bodies[0].presence().stuck.is_some_and(|why| why.contains("not in the store")));
    stage.bodies[0].spec(spec, b"never stored", now)?;
    stage.run(1000)?;
    assert_eq!(stage.serving("cell a.b"), [(0, entry("never stored").version.revision)]);
    Ok(())
}

#[test]
fn fleet_2_a_late_head_and_a_missing_head_stop_nothing() -> Checked {
    let mut stage = Stage::new(1)?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    let first = stage.head.clone().ok_or("no head")?;
    stage.deploy(&[("cell a.b", entry("two").into())])?;
    stage.run(2000)?;
    let revision = stage.revision;
    let now = stage.now;
    let before = stage.log.len();
    stage.bodies[0].head(Some(&first.encode()), 1, now)?;
    stage.bodies[0].head(None, revision + 1, now)?;
    stage.bodies[0].head(Some(b"no head at all"), revision + 2, now).err().ok_or("it was read")?;
    stage.run(8000)?;
    assert_eq!(stage.log.len(), before);
    // On another connection revisions begin anew: what holds now counts, whatever its number.
    stage.bodies[0].connected(now);
    stage.bodies[0].head(Some(&first.encode()), 1, now)?;
    stage.run(8000)?;
    assert_eq!(stage.serving("cell a.b"), [(0, entry("one").version.revision)]);
    Ok(())
}

#[test]
fn fleet_12_of_two_who_deploy_at_once_one_is_told_what_the_other_changed() -> Checked {
    let of = |entries: &[(&str, Entry)]| -> Result<Manifest, Box<dyn std::error::Error>> {
        let mut all = Vec::new();
        for (name, entry) in entries {
            all.push((name.parse()?, entry.clone().into()));
        }
        Ok(Manifest::new(all)?)
    };
    let base = of(&[("cell a.b", entry("one")), ("flow f", entry("two"))])?;
    let mine = of(&[("cell a.b", entry("three")), ("flow f", entry("two"))])?;
    let theirs = of(&[
        ("cell a.b", Entry { replicas: Replicas::Count(2), ..entry("one") }),
        ("cell c.d", entry("two")),
    ])?;
    let head = Head::after(None, ContentHash::of(b""), "eve", 0, "more of it");
    let conflict = Conflict::new(&base, &mine, &theirs, head);
    assert_eq!(
        conflict.to_string(),
        "generation 1 by eve (more of it) came first and changed cell a.b, cell c.d, flow f; both changed cell a.b: \
         look at `cbs diff` and deploy again"
    );
    assert_eq!(
        conflict.theirs.to_string(),
        "+ cell c.d\n- flow f\n~ cell a.b: replicas.count (default) -> 2\n"
    );
    assert!(diff(&mine, &mine).is_empty());
    Ok(())
}

fn objects(manifests: &[&Manifest]) -> Result<(Contents, Vec<ContentHash>), ManifestError> {
    let mut contents = Contents::default();
    let mut roots = Vec::new();
    for manifest in manifests {
        let objects = manifest.encode()?;
        roots.push(objects[0].hash);
        contents.objects(&objects);
    }
    Ok((contents, roots))
}

#[test]
fn fleet_13_only_old_content_that_no_head_reaches_is_collected() -> Checked {
    let of = |text: &str| {
        Manifest::new([(Target::Cell("a.b".parse()?), Item::from(entry(text)))]).map_err(Box::from)
    };
    let one: Result<Manifest, Box<dyn std::error::Error>> = of("one");
    let two = of("two");
    let (one, two) = (one?, two?);
    let (contents, roots) = objects(&[&one, &two])?;
    let first = Head::after(None, roots[0], "ada", 0, "");
    let second = Head::after(Some(&first), roots[1], "ada", 0, "");
    let spec = |text: &str| ContentHash::of(text.as_bytes());
    let stored: Vec<Stored> = SPECS
        .iter()
        .map(|text| Stored { hash: spec(text), age_ms: GARBAGE_AGE_MS + 1 })
        .chain([Stored { hash: spec("young"), age_ms: 10 }])
        .collect();
    let mut history = History::new([second.clone(), first.clone(), second.clone()]);
    assert_eq!(history.heads(), [first, second]);
    let reached = reachable(&history, |hash| contents.get(hash))?;
    assert_eq!(garbage(&stored, &reached), [spec("three"), spec("four")]);
    assert_eq!(history.prune(1), [1]);
    let reached = reachable(&history, |hash| contents.get(hash))?;
    assert_eq!(garbage(&stored, &reached), [spec("one"), spec("three"), spec("four")]);
    // The content that an unreadable manifest reaches is unknown.
    assert!(reachable(&history, |_| None).is_err());
    Ok(())
}

#[test]
fn history_goes_back_to_the_first_gap_and_rolls_back_by_going_on() -> Checked {
    let root = |text: &str| ContentHash::of(text.as_bytes());
    let mut heads = vec![Head::after(None, root("a"), "ada", 0, "")];
    for text in ["b", "b", "c", "c"] {
        heads.push(Head::after(heads.last(), root(text), "ada", 0, ""));
    }
    heads.remove(1);
    let history = History::new(heads);
    let numbers: Vec<u64> = history.heads().iter().map(|head| head.number).collect();
    assert_eq!(numbers, [3, 4, 5]);
    assert_eq!(history.before().map(|head| head.number), Some(3));
    let latest = history.latest().ok_or("no head")?;
    let back = latest.rollback(history.get(3)?, "eve", 9);
    assert_eq!((back.number, back.manifest, back.restores), (6, root("b"), Some(3)));
    assert_eq!(Head::decode(&back.encode())?, back);
    let error = history.get(1).err().ok_or("it is there")?;
    assert_eq!(error.to_string(), "history has no generation 1; it reaches from 3 to 5");
    Ok(())
}

/// Ten thousand entries as people write them.
fn large(count: usize) -> Result<Manifest, Box<dyn std::error::Error>> {
    let mut entries = Vec::new();
    for at in 0..count {
        let mut entry = entry(&format!("spec {at}"));
        entry.version.bundle = Some(ContentHash::of(&at.to_be_bytes()));
        entry.needs.platforms = BTreeSet::from(["linux-x86_64".to_owned()]);
        entry.replicas = Replicas::Count(3);
        entry.spread = Some("zone".to_owned());
        entry.place = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
        entries.push((
            Target::Cell(format!("organ{}.a_rather_long_name_{at}", at % 40).parse()?),
            Item::from(entry),
        ));
    }
    Ok(Manifest::new(entries)?)
}

#[test]
fn a_manifest_of_ten_thousand_is_small_objects_and_a_change_writes_few() -> Checked {
    let manifest = large(10_000)?;
    let objects = manifest.encode()?;
    let whole = objects.iter().map(|it| it.bytes.len()).sum::<usize>();
    let largest = objects.iter().map(|it| it.bytes.len()).max();
    println!(
        "10,000 entries: {} objects, {whole} bytes, the largest has {largest:?}",
        objects.len()
    );
    assert!(objects.len() == 65 && largest.is_some_and(|bytes| bytes < OBJECT_BYTES_MAX / 4));
    let (target, _) = &manifest.entries()[5000];
    let changed = manifest.with([(target.clone(), entry("another").into())])?.encode()?;
    let before: BTreeSet<ContentHash> = objects.iter().map(|it| it.hash).collect();
    assert_eq!(changed.iter().filter(|it| !before.contains(&it.hash)).count(), 2);
    let gone = manifest.without(&BTreeSet::from([target.clone()]));
    assert_eq!((gone.entries().len(), gone.get(target)), (9_999, None));
    Ok(())
}

#[test]
fn what_does_not_fit_or_is_of_a_newer_program_is_said() -> Checked {
    let too_many = (0..=ENTRIES_MAX)
        .map(|at| format!("a.c{at}").parse().map(|name| (Target::Cell(name), entry("one").into())));
    let error = Manifest::new(too_many.collect::<Result<Vec<_>, _>>()?).err();
    assert_eq!(error, Some(ManifestError::TooMany(ENTRIES_MAX + 1)));
    let mut wide = entry("one");
    wide.place = (0..200).map(|at| (format!("label{at}"), "value".to_owned())).collect();
    let error = Manifest::new([("cell a.b".parse()?, wide.into())])?
        .encode()
        .err()
        .map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.starts_with("the entry of cell a.b has ")
        && error.ends_with("2048 at the most")));
    let topic = Manifest::new([("topic a.b".parse()?, entry("one").into())]);
    assert!(matches!(topic, Err(ManifestError::NoTarget(_))));
    let root = br#"{"format": 2, "anything": true}"#;
    let newer = Manifest::decode(ContentHash::of(root), |_| Some(root));
    assert_eq!(newer, Err(ManifestError::NewerFormat(2)));
    Ok(())
}

#[test]
fn an_entry_of_a_newer_program_is_refused_and_not_lost() -> Checked {
    let mut stage = Stage::new(2)?;
    let all = Entry { replicas: Replicas::All, ..entry("one") };
    stage.deploy(&[("cell a.b", all.into())])?;
    stage.run(2000)?;
    let raw = serde_json::json!({
        "version": entry("two").version, "needs": { "runtime": "python" }, "gravity": 9.81
    });
    let foreign = Item::Foreign { raw, reason: String::new() };
    let (head, objects) = stage.prepare(&[("cell a.b", foreign)])?;
    stage.objects(&objects)?;
    stage.specs(&objects)?;
    stage.set_head(head)?;
    stage.run(8000)?;
    assert_eq!(stage.serving("cell a.b").len(), 2);
    let found = stage.bodies[0].found();
    assert!(
        found.troubles[0].reason.contains("too old")
            && found.troubles[0].reason.contains("gravity")
    );
    assert_eq!(found.states.to_string(), "y");
    // Written again by this program, it is the same.
    let manifest = &stage.bodies[0].desired().ok_or("no head")?.manifest;
    assert_eq!(manifest.encode()?, objects);
    assert!(stage.log.iter().all(|(_, _, action)| !matches!(action, Action::Stop { .. })));
    Ok(())
}

#[test]
fn keys_are_read_as_they_are_written() -> Checked {
    let hash = ContentHash::of(b"");
    for (key, wanted) in [
        ("head".to_owned(), Some(keys::Key::Head)),
        (keys::history(12), Some(keys::Key::History(12))),
        (keys::tree(&hash), Some(keys::Key::Tree(hash))),
        (keys::spec(&hash), Some(keys::Key::Spec(hash))),
        ("spec.abc".to_owned(), None),
        ("other".to_owned(), None),
    ] {
        assert_eq!(keys::desired_key(&key), wanted, "{key}");
    }
    let revision = entry("one").version.revision;
    for target in ["cell logic.greet", "flow greeting"] {
        let target: Target = target.parse()?;
        assert_eq!(keys::verdict_key(&keys::verdict(&target, revision)), Some((target, revision)));
    }
    assert_eq!(keys::history(12), "history.0000000012");
    Ok(())
}

proptest! {
    #[test]
    fn a_manifest_is_read_as_it_is_written(names in prop::collection::btree_set("[a-z]{1,6}\\.[a-z]{1,6}", 0..600), replicas in 1..5u32) {
        let entry = Entry { replicas: Replicas::Count(replicas), rollout: Rollout::Recreate, ..entry("one") };
        let entries: Vec<(Target, Item)> = names
            .iter()
            .filter_map(|name| Some((Target::Cell(name.parse().ok()?), entry.clone().into())))
            .collect();
        let manifest = Manifest::new(entries.clone())?;
        let again = Manifest::new(entries.into_iter().rev())?;
        prop_assert_eq!(manifest.encode()?, again.encode()?);
        let objects = manifest.encode()?;
        let object = |hash: &ContentHash| objects.iter().find(|it| it.hash == *hash).map(|it| it.bytes.as_slice());
        prop_assert_eq!(Manifest::decode(objects[0].hash, object)?, manifest);
    }

    #[test]
    fn no_bytes_under_a_root_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let root = ContentHash::of(&bytes);
        prop_assert!(Manifest::decode(root, |_| Some(&bytes)).is_err());
        _ = Head::decode(&bytes);
        _ = fleet::Presence::decode(&bytes);
    }
}
