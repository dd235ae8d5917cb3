//! Placement.

use std::collections::{BTreeMap, BTreeSet};

use cbs::BodyId;
use fleet::{Candidate, Chooser, ContentHash, Entry};
use model::Replicas;
use proptest::prelude::*;

use crate::stage::{Checked, Stage, entry};

type Bodies = Vec<(BodyId, BTreeMap<String, String>)>;

fn bodies(count: usize) -> Result<Bodies, cbs::NameError> {
    let body = |at| {
        Ok((
            BodyId::new(&format!("web{at:02}-{at}"))?,
            BTreeMap::from([("zone".into(), format!("z{}", at % 3))]),
        ))
    };
    (0..count).map(body).collect()
}

fn key(at: u64) -> u64 {
    let hash = ContentHash::of(format!("cell a.c{at}").as_bytes()).to_string();
    u64::from_str_radix(&hash[..16], 16).unwrap_or_default()
}

fn owners(key: u64, replicas: Replicas, spread: Option<&str>, bodies: &Bodies) -> Vec<String> {
    let candidates: Vec<Candidate<'_>> =
        bodies.iter().map(|(body, labels)| Candidate::new(body, labels)).collect();
    let mut chooser = Chooser::default();
    let chosen = chooser.choose(key, replicas, spread, &candidates, |_| true);
    chosen.iter().map(|at| bodies[*at].0.to_string()).collect()
}

#[test]
fn fleet_3_owners_are_the_same_for_ever() -> Checked {
    let bodies = bodies(5)?;
    let found: Vec<Vec<String>> =
        (0..4).map(|at| owners(key(at), Replicas::Count(2), None, &bodies)).collect();
    assert_eq!(found, GOLDEN);
    Ok(())
}

/// Bodies that every version of the program has to choose for the first four names of `key`.
const GOLDEN: [[&str; 2]; 4] = [
    ["web03-3", "web04-4"],
    ["web02-2", "web00-0"],
    ["web03-3", "web02-2"],
    ["web03-3", "web00-0"],
];

#[test]
fn fleet_3_one_body_more_moves_its_share_and_nothing_else() -> Checked {
    for count in [2, 5, 12] {
        let before = bodies(count)?;
        let after = bodies(count + 1)?;
        let new = after[count].0.to_string();
        let mut moved = 0;
        let all = 6_000_u32;
        for at in 0..all {
            let old = owners(key(u64::from(at)), Replicas::Count(1), None, &before);
            let now = owners(key(u64::from(at)), Replicas::Count(1), None, &after);
            if old != now {
                assert_eq!(now, std::slice::from_ref(&new));
                moved += 1;
            }
        }
        let share = f64::from(moved) * f64::from(u32::try_from(count + 1)?) / f64::from(all);
        println!("{count} bodies and one more: {moved} of {all} move, {share:.3} of its share");
        assert!((0.9..1.1).contains(&share), "{share}");
    }
    Ok(())
}

#[test]
fn replicas_are_spread_over_the_values_of_a_label() -> Checked {
    let bodies = bodies(9)?;
    for at in 0..200 {
        for count in 1..9_u32 {
            let chosen = owners(key(at), Replicas::Count(count), Some("zone"), &bodies);
            let mut zones: BTreeMap<&str, u32> = BTreeMap::new();
            for name in &chosen {
                let (_, labels) =
                    bodies.iter().find(|(body, _)| body.as_str() == name).ok_or("who?")?;
                *zones.entry(&labels["zone"]).or_default() += 1;
            }
            assert_eq!(chosen.len(), usize::try_from(count)?);
            assert!(zones.values().all(|here| *here <= count.div_ceil(3)), "{zones:?}");
        }
    }
    Ok(())
}

#[test]
fn fleet_4_what_a_body_cannot_run_is_placed_elsewhere_and_the_old_goes_on_until_then() -> Checked {
    let mut stage = Stage::new(3)?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(3000)?;
    let (owner, _) = stage.serving("cell a.b")[0];
    // A host refuses before any start; the next owner runs it.
    let two = entry("two");
    let target = "cell a.b".parse()?;
    stage.bodies[owner].refuse(
        &target,
        two.version.revision,
        "the bundle climbs out of its folder",
    );
    stage.deploy(&[("cell a.b", two.clone().into())])?;
    for _ in 0..30 {
        stage.run(100)?;
        assert!(!stage.serving("cell a.b").is_empty());
    }
    let serving = stage.serving("cell a.b");
    assert!(
        serving.len() == 1 && serving[0].0 != owner && serving[0].1 == two.version.revision,
        "{serving:?}"
    );
    assert_eq!(stage.bodies[owner].found().states.to_string(), "x");
    assert!(stage.bodies[owner].presence().troubles[0].reason.contains("climbs"));
    Ok(())
}

#[test]
fn fleet_4_what_nobody_can_run_leaves_the_old_where_it_is() -> Checked {
    let mut stage = Stage::new(2)?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(3000)?;
    let before = stage.serving("cell a.b");
    let mut dart = entry("two");
    dart.needs.runtime = "dart".into();
    let mut arm = entry("three");
    arm.needs.platforms = BTreeSet::from(["linux-aarch64".to_owned()]);
    let mut newer = entry("four");
    newer.needs.version = Some("3.1".into());
    for (entry, reason) in [
        (dart, "this body has no runtime dart; `cbs doctor` says how to get it"),
        (arm, "it is built for linux-aarch64, this body is linux-x86_64"),
        (newer, "it needs python 3.1, this body has 3.11.2"),
    ] {
        stage.deploy(&[("cell a.b", entry.into())])?;
        stage.run(8000)?;
        assert_eq!(stage.serving("cell a.b"), before);
        assert_eq!(stage.bodies[0].found().troubles[0].reason, reason);
    }
    Ok(())
}

#[test]
fn labels_and_replicas_are_kept() -> Checked {
    let mut stage = Stage::new(4)?;
    let place = BTreeMap::from([("host".to_owned(), "b2".to_owned())]);
    stage.deploy(&[
        ("cell a.all", Entry { replicas: Replicas::All, ..entry("one") }.into()),
        ("cell a.there", Entry { place, ..entry("two") }.into()),
        ("cell a.three", Entry { replicas: Replicas::Count(3), ..entry("three") }.into()),
    ])?;
    stage.run(5000)?;
    let there: Vec<usize> = stage.serving("cell a.there").iter().map(|(at, _)| *at).collect();
    assert_eq!(
        (stage.serving("cell a.all").len(), there, stage.serving("cell a.three").len()),
        (4, vec![2], 3)
    );
    Ok(())
}

proptest! {
    #[test]
    fn fleet_3_the_order_in_which_bodies_are_known_does_not_matter(at in any::<u64>(), skip in 0..6usize, replicas in 1..4u32) {
        let all = bodies(6)?;
        let some: Bodies = all.iter().enumerate().filter(|(at, _)| *at != skip).map(|(_, body)| body.clone()).collect();
        let with = owners(at, Replicas::Count(replicas), None, &all);
        let without = owners(at, Replicas::Count(replicas), None, &some);
        let kept: Vec<&String> = with.iter().filter(|body| **body != all[skip].0.to_string()).collect();
        // The bodies that owned it still do, and in the same order.
        prop_assert_eq!(&without.iter().take(kept.len()).collect::<Vec<_>>(), &kept);
    }
}
