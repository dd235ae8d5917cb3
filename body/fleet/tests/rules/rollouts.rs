//! Changes from one revision to another.

use fleet::{Action, CanarySample, Entry, Judgement, Verdict, Why, judge};
use model::{CanaryRules, Replicas, Rollout};

use crate::stage::{Checked, Stage, entry};

#[test]
fn fleet_5_the_new_revision_is_ready_for_a_while_before_the_old_one_stops() -> Checked {
    let mut stage = Stage::new(1)?;
    stage.deploy(&[("cell a.b", entry("one").into())])?;
    stage.run(2000)?;
    stage.deploy(&[("cell a.b", entry("two").into())])?;
    let begun = stage.now;
    let mut both = 0;
    while both == 0 || stage.serving("cell a.b").len() > 1 {
        stage.run(100)?;
        both += usize::from(stage.serving("cell a.b").len() == 2);
        assert!(!stage.serving("cell a.b").is_empty() && stage.now.since(begun) < 3000);
    }
    assert!((4..=7).contains(&both), "both for {both} tenths of a second");
    assert_eq!(stage.serving("cell a.b"), [(0, entry("two").version.revision)]);
    Ok(())
}

#[test]
fn fleet_5_what_is_recreated_stops_first() -> Checked {
    let mut stage = Stage::new(2)?;
    let recreate =
        |text| Entry { rollout: Rollout::Recreate, replicas: Replicas::All, ..entry(text) };
    stage.deploy(&[("cell a.b", recreate("one").into())])?;
    stage.run(2000)?;
    stage.deploy(&[("cell a.b", recreate("two").into())])?;
    let first = stage.log.len();
    stage.run(3000)?;
    let story: Vec<bool> =
        stage.log[first..].iter().map(|(_, _, it)| matches!(it, Action::Start { .. })).collect();
    assert_eq!(story, [false, false, true, true]);
    assert_eq!(stage.serving("cell a.b").len(), 2);
    Ok(())
}

#[test]
fn fleet_10_a_failed_start_waits_and_holds_up_nothing() -> Checked {
    let mut stage = Stage::new(1)?;
    stage.broken.insert("one".into());
    stage.deploy(&[("cell a.b", entry("one").into()), ("cell c.d", entry("two").into())])?;
    let begun = stage.now;
    stage.run(20_000)?;
    assert_eq!(stage.serving("cell c.d").len(), 1);
    let target: cbs::Target = "cell a.b".parse()?;
    let starts: Vec<u64> = stage
        .log
        .iter()
        .filter(|(_, _, it)| matches!(it, Action::Start { target: it, .. } if *it == target))
        .map(|(_, at, _)| at.since(begun) / 1000)
        .collect();
    // After one second, after two more; then it is left to others for a minute.
    assert_eq!(starts, [0, 1, 3]);
    assert!(stage.bodies[0].found().troubles[0].reason.contains("broken"));
    stage.broken.clear();
    stage.run(70_000)?;
    assert_eq!(stage.serving("cell a.b").len(), 1);
    Ok(())
}

fn canary(stage: &mut Stage, errors_of_ten: u64) -> Checked {
    let target = "cell a.b".parse()?;
    let old = entry("one");
    let new = entry("two");
    let entry = Entry {
        base: Some(old.version.clone()),
        rollout: Rollout::Canary(CanaryRules { after_ms: 5000, ..CanaryRules::share(10) }),
        replicas: Replicas::Count(2),
        ..new
    };
    stage.deploy(&[("cell a.b", Entry { replicas: Replicas::Count(2), ..old }.into())])?;
    stage.run(3000)?;
    stage.deploy(&[("cell a.b", entry.clone().into())])?;
    stage.run(1000)?;
    // Both revisions on both owners, and a share for the new one.
    assert_eq!(stage.serving("cell a.b").len(), 4);
    let shares = stage.bodies.iter().filter_map(|body| body.own().held().get(&target)?.share());
    assert_eq!(shares.collect::<Vec<_>>(), [(entry.version.revision, 10); 2]);
    let mut of_base = CanarySample::default();
    let mut of_canary = CanarySample::default();
    for _ in 0..100 {
        for body in &mut stage.bodies {
            for call in 0..10 {
                of_base.count(900, false);
                of_canary.count(1000, call < errors_of_ten);
            }
            body.sample(&target, entry.version.revision, of_base.clone(), of_canary.clone());
        }
        stage.run(100)?;
    }
    Ok(())
}

#[test]
fn fleet_15_a_canary_that_fails_is_rolled_back_and_one_that_does_well_is_promoted() -> Checked {
    for (errors, wanted) in [(2, "one"), (0, "two")] {
        let mut stage = Stage::new(2)?;
        canary(&mut stage, errors)?;
        let revision = entry(wanted).version.revision;
        assert_eq!(
            stage.serving("cell a.b"),
            [(0, revision), (1, revision)],
            "{errors} errors in ten"
        );
    }
    Ok(())
}

#[test]
fn fleet_15_a_verdict_holds_for_bodies_that_come_later() -> Checked {
    let mut stage = Stage::new(1)?;
    let old = entry("one");
    let new = entry("two");
    let rollout = Rollout::Canary(CanaryRules::share(10));
    let entry = Entry { base: Some(old.version.clone()), rollout, ..new };
    stage.rule(&"cell a.b".parse()?, entry.version.revision, Verdict::RollBack);
    stage.deploy(&[("cell a.b", entry.into())])?;
    stage.run(3000)?;
    assert_eq!(stage.serving("cell a.b"), [(0, old.version.revision)]);
    Ok(())
}

#[test]
fn what_is_undeployed_or_disabled_stops() -> Checked {
    let mut stage = Stage::new(2)?;
    let all = |text| Entry { replicas: Replicas::All, ..entry(text) };
    stage.deploy(&[("cell a.b", all("one").into()), ("flow f", all("two").into())])?;
    stage.run(2000)?;
    assert_eq!((stage.serving("cell a.b").len(), stage.serving("flow f").len()), (2, 2));
    stage.deploy(&[("cell a.b", Entry { enabled: false, ..all("one") }.into())])?;
    stage.run(2000)?;
    assert_eq!((stage.serving("cell a.b").len(), stage.serving("flow f").len()), (0, 0));
    let whys = stage
        .log
        .iter()
        .filter(|(_, _, it)| matches!(it, Action::Stop { why: Why::Undeployed, .. }));
    assert_eq!(whys.count(), 4);
    Ok(())
}

#[test]
fn so_many_start_at_once_and_no_more() -> Checked {
    let mut stage = Stage::new(1)?;
    let names: Vec<String> = (0..200).map(|at| format!("cell a.c{at}")).collect();
    let entries: Vec<(&str, fleet::Item)> =
        names.iter().map(|name| (name.as_str(), entry("one").into())).collect();
    stage.deploy(&entries)?;
    let now = stage.now;
    let own = stage.bodies[0].presence();
    stage.spread(0, own);
    let first = stage.bodies[0].pass(now).actions.len();
    assert_eq!((first, stage.bodies[0].pass(now).actions.len()), (64, 0));
    Ok(())
}

/// Returns a sample of so many calls, of which so many failed, each of this duration.
fn calls(all: u64, failed: u64, micros: u64) -> CanarySample {
    let mut sample = CanarySample::default();
    (0..all).for_each(|call| sample.count(micros, call < failed));
    sample
}

#[test]
fn a_canary_is_judged_when_its_numbers_say_enough() {
    let rules = CanaryRules::share(10);
    let fine = calls(1000, 2, 1000);
    for (canary, ready_ms, rolled_back, promoted) in [
        (calls(0, 0, 0), 3_600_000, false, false), // nobody calls it
        (calls(49, 0, 1000), 3_600_000, false, false), // too few calls
        (calls(9, 9, 1000), 1000, false, false),
        (calls(10, 10, 1000), 1000, true, false), // all of a few failed
        (calls(50, 10, 1000), 1000, true, false), // a fifth failed
        (calls(50, 2, 1000), 1000, false, false), // that may be chance
        (calls(10_000, 400, 1000), 1000, true, false), // that may not
        (calls(500, 1, 1000), 59_999, false, false), // too soon
        (calls(500, 1, 1000), 60_000, false, true),
        (calls(500, 0, 5000), 60_000, true, false), // five times as slow
        (calls(90, 0, 5000), 1000, false, false),   // too few calls to know
    ] {
        let judged = judge(&rules, &fine, &canary, ready_ms);
        assert_eq!(matches!(judged, Judgement::RollBack(_)), rolled_back, "{judged:?} {canary:?}");
        assert_eq!(judged == Judgement::Promote, promoted, "{judged:?} {canary:?}");
    }
    // What fails as often as the old revision is no worse.
    assert_eq!(
        judge(&rules, &calls(1000, 300, 1000), &calls(200, 60, 1000), 60_000),
        Judgement::Promote
    );
}

#[test]
fn fleet_15_a_promoted_canary_takes_calls_of_its_own_before_its_base_stops() -> Checked {
    let mut stage = Stage::new(2)?;
    canary(&mut stage, 0)?;
    let of =
        |wanted: fn(&Action) -> bool| stage.log.iter().position(|(_, _, action)| wanted(action));
    let promoted = of(|it| matches!(it, Action::Promote { .. }));
    let stopped = of(|it| matches!(it, Action::Stop { why: Why::Replaced, .. }));
    assert!(promoted.is_some() && promoted < stopped, "{promoted:?} {stopped:?}");
    let canaries = stage
        .bodies
        .iter()
        .flat_map(|body| body.own().held().values())
        .flat_map(|it| it.instances());
    assert!(canaries.clone().all(|it| !it.canary) && canaries.count() == 2);
    Ok(())
}

#[test]
fn what_is_rolled_back_is_told_with_the_reason() -> Checked {
    let mut stage = Stage::new(2)?;
    canary(&mut stage, 2)?;
    for body in &mut stage.bodies {
        let presence = body.presence();
        assert_eq!(presence.states.at(0), fleet::EntryStatus::RolledBack);
        assert!(presence.troubles[0].reason.contains("was rolled back"), "{:?}", presence.troubles);
    }
    Ok(())
}

#[test]
fn a_canary_is_deployed_beside_what_answers_now() {
    let canary =
        |text: &str| Entry { rollout: Rollout::Canary(CanaryRules::share(10)), ..entry(text) };
    let one = entry("one");
    let two = canary("two").after(Some(&entry("one")), None);
    let base = |entry: Entry| entry.base.map(|base| base.revision);
    let revision = |text: &str| Some(entry(text).version.revision);
    assert_eq!(base(two.clone()), revision("one"));
    // The same again stays what it is, whatever was decided.
    assert_eq!(canary("two").after(Some(&two), Some(Verdict::RollBack)), two);
    for (verdict, wanted) in
        [(None, "one"), (Some(Verdict::RollBack), "one"), (Some(Verdict::Promote), "two")]
    {
        assert_eq!(
            base(canary("three").after(Some(&two), verdict)),
            revision(wanted),
            "{verdict:?}"
        );
    }
    // With nothing to run beside it, and without a canary.
    assert_eq!(base(canary("two").after(None, None)), None);
    assert_eq!(base(canary("two").after(Some(&Entry { enabled: false, ..one }), None)), None);
    assert_eq!(base(entry("three").after(Some(&two), None)), None);
}

#[test]
fn a_ruling_is_read_as_it_is_written() {
    for reason in ["", "12 of 60 calls failed", "two\nlines"] {
        let record = fleet::VerdictRecord { verdict: Verdict::RollBack, reason: reason.to_owned() };
        let read = fleet::VerdictRecord::decode(&record.encode());
        assert_eq!(
            read,
            Some(fleet::VerdictRecord { reason: reason.replace('\n', " "), ..record })
        );
    }
    let long = fleet::VerdictRecord { verdict: Verdict::Promote, reason: "ä".repeat(1000) };
    assert!(long.encode().len() <= fleet::VERDICT_BYTES_MAX);
    assert_eq!(
        fleet::VerdictRecord::decode(&long.encode()).map(|it| it.verdict),
        Some(Verdict::Promote)
    );
    assert_eq!(
        fleet::VerdictRecord::decode(b"promote").map(|it| it.verdict),
        Some(Verdict::Promote)
    );
    assert_eq!(
        (fleet::VerdictRecord::decode(b"promoted"), fleet::VerdictRecord::decode(&[0xff])),
        (None, None)
    );
}

#[test]
fn what_was_rolled_back_goes_also_where_its_base_waits_to_be_left() -> Checked {
    let mut stage = Stage::new(2)?;
    let target = "cell a.b".parse()?;
    let old = entry("one");
    let new = entry("two");
    let rollout = Rollout::Canary(CanaryRules::share(10));
    let canary = Entry { base: Some(old.version.clone()), rollout, ..new };
    stage.deploy(&[("cell a.b", old.clone().into())])?;
    stage.run(3000)?;
    stage.deploy(&[("cell a.b", canary.clone().into())])?;
    stage.run(1000)?;
    let owner = stage.serving("cell a.b")[0].0;
    assert_eq!(stage.serving("cell a.b").len(), 2);
    // Its owner leaves, and the one that takes over cannot start the base.
    stage.broken.insert("one".into());
    stage.bodies[owner].drain();
    stage.run(1000)?;
    assert_eq!(stage.serving("cell a.b").len(), 2, "both go on until another serves");
    stage.rule(&target, canary.version.revision, Verdict::RollBack);
    stage.run(1000)?;
    assert_eq!(stage.serving("cell a.b"), [(owner, old.version.revision)]);
    assert_eq!(stage.bodies[owner].own().held()[&target].share(), None);
    Ok(())
}
