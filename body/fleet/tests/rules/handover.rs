//! Order in which bodies leave, and conditions under which a body counts as gone.

use fleet::{Action, EntryStatus, Paused, Why};

use crate::stage::{Checked, Stage, entry, facts};

#[test]
fn fleet_6_an_extra_owner_leaves_only_when_the_owner_is_ready_and_has_heard_of_it() -> Checked {
    for other in 1..20 {
        // The second body comes late, and with some names it is the owner.
        let mut stage = Stage::new(1)?;
        stage.deploy(&[("cell a.b", entry("one").into())])?;
        stage.run(1000)?;
        let mut late = fleet::Body::new(
            facts(&format!("late{other}"))?,
            Default::default(),
            Default::default(),
        );
        late.connected(stage.now);
        stage.bodies.push(late);
        let head = stage.head.clone().ok_or("no head")?;
        let (_, objects) = stage.prepare(&[("cell a.b", entry("one").into())])?;
        stage.objects(&objects)?;
        stage.specs(&objects)?;
        stage.revision += 1;
        let revision = stage.revision;
        let now = stage.now;
        stage.bodies[1].head(Some(&head.encode()), revision, now)?;
        for _ in 0..30 {
            stage.run(100)?;
            assert!(!stage.serving("cell a.b").is_empty());
        }
        assert_eq!(stage.serving("cell a.b").len(), 1);
        if stage.serving("cell a.b")[0].0 == 1 {
            let stops = stage.log.iter().filter_map(|(at, _, action)| match action {
                Action::Stop { why: Why::Taken(by), .. } => Some((*at, by.len())),
                _ => None,
            });
            assert_eq!(stops.collect::<Vec<_>>(), [(0, 1)]);
            return Ok(());
        }
    }
    Err("no name makes the second body the owner".into())
}

#[test]
fn fleet_7_after_a_connection_no_absence_counts_for_two_leases() -> Checked {
    let mut stage = Stage::new(2)?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(3000)?;
    let owner = stage.serving("cell a.b")[0].0;
    let other = 1 - owner;
    // The owner dies while the other has no connection; then the other is back.
    stage.deaf.insert(owner);
    stage.bodies[other].disconnected();
    stage.now = stage.now.plus(60_000);
    let now = stage.now;
    stage.bodies[other].connected(now);
    for _ in 0..59 {
        stage.run(100)?;
        assert!(
            !stage.serving("cell a.b").iter().any(|(at, _)| *at == other),
            "after {} ms",
            stage.now.since(now)
        );
    }
    stage.run(500)?;
    assert!(stage.serving("cell a.b").iter().any(|(at, _)| *at == other));
    Ok(())
}

#[test]
fn fleet_8_a_body_that_does_not_hear_itself_changes_nothing() -> Checked {
    let mut stage = Stage::new(1)?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(1000)?;
    stage.deaf.insert(0);
    stage.run(4000)?;
    let before = stage.log.len();
    stage.deploy(&[("cell c.d", entry("two").into())])?;
    stage.run(4000)?;
    assert_eq!(stage.log.len(), before);
    assert_eq!(stage.bodies[0].found().paused, Some(Paused::LeaseNotObserved));
    assert_eq!(stage.serving("cell a.b").len(), 1);
    // It says what it has, also while it may not act.
    assert_eq!(stage.bodies[0].presence().states.at(0), EntryStatus::Starting);
    stage.deaf.clear();
    stage.run(1000)?;
    assert_eq!((stage.serving("cell a.b").len(), stage.serving("cell c.d").len()), (0, 1));
    Ok(())
}

#[test]
fn fleet_7_a_bucket_that_counts_from_one_after_a_loss_of_a_moment_makes_nobody_silent() -> Checked {
    let mut stage = Stage::new(2)?;
    stage.revision = 5000;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(8000)?;
    let serving = stage.serving("cell a.b");
    assert_eq!(serving.len(), 1);
    stage.revision = 0;
    stage.bodies.iter_mut().for_each(fleet::Body::watched_anew);
    for _ in 0..100 {
        stage.run(100)?;
        assert_eq!(stage.serving("cell a.b"), serving);
    }
    // So may that of heads.
    stage.deploy(&[("cell a.b", entry("two").into())])?;
    stage.run(8000)?;
    assert_ne!(stage.serving("cell a.b")[0].1, serving[0].1);
    // A body without a lease on the new watch is gone, as before.
    let owner = stage.serving("cell a.b")[0].0;
    stage.deaf.insert(owner);
    stage.run(5000)?;
    assert!(stage.serving("cell a.b").iter().any(|(at, _)| *at != owner));
    Ok(())
}

#[test]
fn fleet_9_what_a_silent_body_owned_is_taken_over() -> Checked {
    for reported in [true, false] {
        let mut stage = Stage::new(2)?;
        stage.deploy(&[("cell a.b", entry("one").into())])?;
        stage.run(8000)?;
        let owner = stage.serving("cell a.b")[0].0;
        stage.deaf.insert(owner);
        let died = stage.now;
        if reported {
            stage.revision += 1;
            let body = facts(&format!("b{owner}"))?.body;
            let revision = stage.revision;
            stage.bodies[1 - owner].lease_gone(&body, revision);
        }
        while !stage.serving("cell a.b").iter().any(|(at, _)| *at != owner) {
            stage.run(100)?;
            assert!(stage.now.since(died) < 5000, "told: {reported}");
        }
    }
    Ok(())
}

#[test]
fn fleet_14_a_body_that_drains_starts_nothing_and_leaves_when_others_have_taken_over() -> Checked {
    let mut stage = Stage::new(2)?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(3000)?;
    let owner = stage.serving("cell a.b")[0].0;
    stage.bodies[owner].drain();
    for _ in 0..20 {
        stage.run(100)?;
        assert!(!stage.serving("cell a.b").is_empty());
    }
    assert_eq!(stage.serving("cell a.b")[0].0, 1 - owner);
    // The last one: no other body could take it.
    stage.bodies[1 - owner].drain();
    stage.run(300)?;
    assert!(stage.serving("cell a.b").is_empty());
    let starts =
        stage.log.iter().filter(|(_, _, action)| matches!(action, Action::Start { .. })).count();
    stage.deploy(&[("cell a.b", entry("two").into())])?;
    stage.run(8000)?;
    assert_eq!(
        stage.log.iter().filter(|(_, _, action)| matches!(action, Action::Start { .. })).count(),
        starts
    );
    Ok(())
}

#[test]
fn two_bodies_of_one_name_do_nothing() -> Checked {
    let mut stage = Stage::new(1)?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    let own = stage.bodies[0].presence();
    stage.spread(0, own.clone());
    let mut twin = own;
    twin.facts.incarnation += 1;
    stage.spread(0, twin);
    let now = stage.now;
    assert_eq!(stage.bodies[0].pass(now).paused, Some(Paused::DuplicateId));
    assert!(
        stage.bodies[0].presence().stuck.is_some_and(|reported| reported.contains("the same id"))
    );
    Ok(())
}

#[test]
fn fleet_8_twins_change_nothing_as_long_as_they_hear_each_other_and_a_former_life_is_none()
-> Checked {
    let mut stage = Stage::new(1)?;
    let mut former = stage.bodies[0].presence();
    former.facts.incarnation += 1;
    stage.spread(0, former.clone());
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(1000)?;
    assert_eq!(stage.serving("cell a.b").len(), 1, "a lease of a former life holds nobody up");
    // A late message of it does not either: its revision is an old one.
    let now = stage.now;
    stage.bodies[0].observed(former.clone().into(), 1, now);
    assert_eq!(stage.bodies[0].pass(now).paused, None);
    let before = stage.log.len();
    stage.deploy(&[("cell a.b", entry("two").into())])?;
    for _ in 0..50 {
        // The other body with this id puts its lease; in between the body receives its own.
        stage.spread(0, former.clone());
        stage.run(200)?;
        assert_eq!(stage.bodies[0].found().paused, Some(Paused::DuplicateId));
    }
    assert_eq!(stage.log.len(), before);
    stage.run(5000)?;
    assert_eq!(stage.serving("cell a.b"), [(0, entry("two").version.revision)]);
    Ok(())
}

#[test]
fn fleet_4_what_is_being_started_again_is_not_ready_and_its_old_revision_goes_on() -> Checked {
    let mut stage = Stage::new(1)?;
    let target = "cell a.b".parse()?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(1000)?;
    stage.deploy(&[("cell a.b", entry("two").into())])?;
    stage.step(0)?;
    let new = stage.bodies[0].own().held()[&target].instances()[1].id;
    let now = stage.now;
    stage.bodies[0].away(&target, new, now);
    stage.run(5000)?;
    assert_eq!(stage.serving("cell a.b"), [(0, entry("one").version.revision)]);
    assert_eq!(stage.bodies[0].presence().states.at(0), EntryStatus::Updating);
    let now = stage.now;
    stage.bodies[0].ready(&target, new, now);
    stage.run(1000)?;
    assert_eq!(stage.serving("cell a.b"), [(0, entry("two").version.revision)]);
    Ok(())
}

#[test]
fn fleet_10_who_never_follows_a_head_is_waited_for_and_then_not_counted_on() -> Checked {
    let mut stage = Stage::new(2)?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(3000)?;
    let (mute, old) = stage.serving("cell a.b")[0];
    let other = 1 - mute;
    let (head, objects) = stage.prepare(&[("cell a.b", entry("two").into())])?;
    stage.objects(&objects)?;
    stage.specs(&objects)?;
    stage.revision += 1;
    // The owner goes on with its presences, and never receives the head.
    let revision = stage.revision;
    let now = stage.now;
    stage.bodies[other].head(Some(&head.encode()), revision, now)?;
    let patience = fleet::Timing::default().patience;
    stage.run(patience - 500)?;
    assert_eq!(stage.serving("cell a.b"), [(mute, old)], "it may still follow");
    stage.run(1000)?;
    let new = entry("two").version.revision;
    let serving = stage.serving("cell a.b");
    assert!(serving.contains(&(other, new)) && serving.contains(&(mute, old)), "{serving:?}");
    Ok(())
}
