//! Runs that are rebuilt from their events: for every flow, every order of answers and every
//! prefix of the events.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    properties::{Chance, Drawn, Story, built, carried_out, drawn},
    *,
};

const ID: Uuid = Uuid::from_u128(7);

/// Replays events that were written as text and read again, by a plan of its own.
fn replayed(drawn: &[Drawn], events: &[Event]) -> (Run, Vec<Decision>) {
    let plan = Arc::new(Plan::new(built(drawn)).expect("a plan"));
    let journal: Vec<String> =
        events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    Run::replay(plan, ID, journal.iter().map(|line| serde_json::from_str(line).unwrap()))
}

fn check_state(run: &Run, live: &Run) -> Result<(), TestCaseError> {
    prop_assert_eq!((run.id, run.now_ms, run.phase), (live.id, live.now_ms, live.phase));
    prop_assert_eq!(&run.input, &live.input);
    prop_assert_eq!(&run.progress, &live.progress);
    prop_assert_eq!(&run.values, &live.values);
    prop_assert_eq!((&run.ready, run.open), (&live.ready, live.open));
    prop_assert_eq!(&run.decisions, &live.decisions);
    Ok(())
}

fn call_of(decision: &Decision) -> Option<&CallId> {
    match decision {
        Decision::Call { call, .. } | Decision::Wait { call, .. } => Some(call),
        _ => None,
    }
}

/// What a run says is open is what its decisions opened and its events did not end. A wait of a
/// step that has failed in the meantime is no more open, and its end changes nothing.
fn check_open(run: &mut Run, open: &[Decision], story: &[Decision]) -> Result<(), TestCaseError> {
    for decision in open {
        prop_assert!(story.contains(decision), "{decision:?} is not open");
    }
    for decision in story.iter().filter(|decision| !open.contains(decision)) {
        let Decision::Wait { call, .. } = decision else {
            return Err(TestCaseError::fail(format!("{decision:?} was forgotten")));
        };
        let late = Event::Waited { at_ms: run.now_ms, call: call.clone() };
        prop_assert_eq!(run.handle(late), []);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_events_of_a_run_rebuild_it_at_every_moment(
        drawn in prop::collection::vec(drawn(), 1..9),
        chances in prop::collection::vec(any::<Chance>(), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let plan = Arc::new(Plan::new(built(&drawn)).expect("a plan"));
        let story = carried_out(&plan, &chances)?;
        let cut = cut.index(story.events.len() + 1);
        let mut live = Story::of(Run::new(plan, ID), Vec::new());
        for event in &story.events[..cut] {
            let ends = |open: &Decision| call_of(open) == call_of_event(event);
            live.open.retain(|open| !ends(open));
            live.handle(event.clone())?;
        }
        let (mut run, open) = replayed(&drawn, &story.events[..cut]);
        check_state(&run, &live.run)?;
        if run.is_done() {
            let last = story.decisions.last().and_then(|decisions| decisions.last());
            prop_assert_eq!(open.iter().collect::<Vec<_>>(), Vec::from_iter(last));
            prop_assert_eq!(run.pending(), []);
        } else {
            prop_assert_eq!(&open, &live.run.pending());
            check_open(&mut run, &open, &live.open)?;
        }
        for (event, decisions) in story.events.iter().zip(&story.decisions).skip(cut) {
            let again = run.handle(event.clone());
            prop_assert_eq!(&again, decisions);
            let text = serde_json::to_string(&again).unwrap();
            prop_assert_eq!(serde_json::from_str::<Vec<Decision>>(&text).unwrap(), again);
        }
        check_state(&run, &story.run)?;
    }

    #[test]
    fn a_driver_takes_a_run_over_with_what_is_pending(
        drawn in prop::collection::vec(drawn(), 1..9),
        before in prop::collection::vec(any::<Chance>(), 1..60),
        after in prop::collection::vec(any::<Chance>(), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let plan = Arc::new(Plan::new(built(&drawn)).expect("a plan"));
        let first = carried_out(&plan, &before)?;
        // At least the start: before it, nothing is pending.
        let cut = 1 + cut.index(first.events.len());
        let (run, open) = replayed(&drawn, &first.events[..cut]);
        if !run.is_done() {
            Story::of(run, open).end(&after)?;
        }
    }

    #[test]
    fn the_id_of_a_call_is_that_of_its_attempts_and_of_no_other_call(
        drawn in prop::collection::vec(drawn(), 1..9),
        chances in prop::collection::vec(any::<Chance>(), 1..60),
    ) {
        let plan = Arc::new(Plan::new(built(&drawn)).expect("a plan"));
        let story = carried_out(&plan, &chances)?;
        let mut ids = BTreeMap::new();
        let mut attempts = BTreeSet::new();
        for (event, decisions) in story.events.iter().zip(&story.decisions) {
            for decision in decisions {
                let Decision::Call { call, id, attempt, due_ms, .. } = decision else { continue };
                prop_assert_eq!((*id, *attempt), (call.id_in(ID), call.attempt()));
                let place = (call.step().to_owned(), call.item(), call.is_fallback());
                prop_assert_eq!(ids.entry(*id).or_insert(place.clone()), &place);
                prop_assert!(attempts.insert((*id, *attempt)), "{} has the id of another", call);
                let step = plan.steps().iter().find(|step| step.id() == call.step()).unwrap();
                let timeout = step.timeout.filter(|_| !call.is_fallback());
                let due = timeout.map(|timeout| event.at_ms() + timeout.as_millis() as u64);
                prop_assert_eq!(*due_ms, due);
            }
        }
    }
}

fn call_of_event(event: &Event) -> Option<&CallId> {
    match event {
        Event::Started { .. } => None,
        Event::Answered { call, .. } | Event::Failed { call, .. } | Event::Waited { call, .. } => {
            Some(call)
        }
    }
}

#[test]
fn a_run_over_is_replayed_to_its_end() {
    let plan = || Arc::new(Plan::new(flow(vec![step("a")])).unwrap());
    let (run, open) = Run::replay(plan(), ID, [started(json!(1)), answered("a", json!(2))]);
    assert_eq!((run.is_done(), short(&open)), (true, vec!["finish 2".to_owned()]));
    let (run, open) = Run::replay(plan(), ID, [started(json!(1)), failed("a", crash(), false)]);
    let failure = "fail cell-failed: step `a` failed: the cell failed";
    assert_eq!((run.is_done(), short(&open)), (true, vec![failure.to_owned()]));
}

#[test]
fn what_is_pending_has_its_input_its_id_and_its_due_time() {
    let fan = Step {
        each: each("${ .input }", 3),
        with: Some(json!("${ .item }")),
        retry: retry(2, 100),
        timeout: Some(Duration::from_secs(3)),
        ..step("a")
    };
    let caught = Step { catch: catch(&[], Some("logic.rescue"), "rescued"), ..needing("b", &[]) };
    let plan = Arc::new(Plan::new(flow(vec![fan, caught])).unwrap());
    let mut live = Run::new(Arc::clone(&plan), ID);
    let later = |event| match event {
        Event::Failed { call, error, not_run, .. } => {
            Event::Failed { at_ms: AT_MS + 1_000, call, error, not_run }
        }
        Event::Waited { call, .. } => Event::Waited { at_ms: AT_MS + 2_000, call },
        other => other,
    };
    let events = [
        started(json!(["x", "y", "z"])),
        later(failed("a[0]", crash(), false)),
        later(failed("a[2]", crash(), false)),
        later(failed("b", crash(), false)),
        later(waited("a[2]#1")),
    ];
    let decisions: Vec<Decision> =
        events.iter().flat_map(|event| live.handle(event.clone())).collect();
    let made = |call: &str| {
        let is = |decision: &&Decision| call_of(decision).is_some_and(|of| of.to_string() == call);
        decisions.iter().rfind(is).cloned().unwrap()
    };
    let (_, open) = Run::replay(plan, ID, events);
    assert_eq!(open, ["a[0]#1", "a[1]", "a[2]#1", "b/catch"].map(made));
    assert_eq!(
        short(&open),
        ["wait a[0]#1", "a[1](\"y\")", "a[2]#1(\"z\")", "b/catch(\"rescued\")"]
    );
    let due = |decision: &Decision| match decision {
        Decision::Call { due_ms, .. } => *due_ms,
        Decision::Wait { due_ms, .. } => Some(*due_ms),
        _ => None,
    };
    let due: Vec<_> = open.iter().map(due).collect();
    assert!((AT_MS + 1_050..=AT_MS + 1_100).contains(&due[0].unwrap()), "{due:?}");
    assert_eq!(due[1..], [Some(AT_MS + 3_000), Some(AT_MS + 5_000), None]);
}
