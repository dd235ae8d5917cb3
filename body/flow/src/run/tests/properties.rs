//! For every flow and every order of answers: needs are kept, no call runs twice, every run ends,
//! and the events alone determine all decisions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// One generated step: the steps above that it needs, and its other fields.
#[derive(Clone, Debug)]
struct Drawn {
    needs: Option<Vec<prop::sample::Index>>,
    when: bool,
    items: Option<(usize, usize)>,
    retries: u32,
    catch: Option<bool>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let needs = prop::option::of(prop::collection::vec(any::<prop::sample::Index>(), 0..4));
    let items = prop::option::weighted(0.3, (0..6_usize, 1..4_usize));
    (needs, prop::bool::weighted(0.8), items, 0..3_u32, prop::option::of(any::<bool>())).prop_map(
        |(needs, when, items, retries, catch)| Drawn { needs, when, items, retries, catch },
    )
}

fn built(drawn: &[Drawn]) -> Flow {
    let steps = drawn.iter().enumerate().map(|(index, drawn)| {
        let needs = drawn.needs.as_ref().map(|needs| match index {
            0 => Vec::new(),
            _ => needs.iter().map(|need| format!("s{}", need.index(index))).collect(),
        });
        Step {
            needs,
            when: Some(json!(format!("${{ .input.wanted and {} }}", drawn.when))),
            each: drawn.items.map(|(items, parallel)| Each {
                items: json!(format!("${{ [range({items})] }}")),
                parallel,
            }),
            retry: retry(drawn.retries, 10),
            catch: drawn.catch.and_then(|calls| {
                catch(&["cell-failed"], calls.then_some("logic.rescue"), "${ .error.code }")
            }),
            with: Some(json!("${ {n: .input.n, seen: (.steps | keys)} }")),
            ..step(&format!("s{index}"))
        }
    });
    let mut flow = flow(steps.collect());
    flow.output = Some(json!("${ .steps }"));
    flow
}

/// Record of a run: its events, and its decisions after each event.
struct Story {
    events: Vec<Event>,
    decisions: Vec<Vec<Decision>>,
}

/// Carries out a run: `chances` decide the order and the results of open calls and waits.
fn carried_out(
    plan: &Arc<Plan>,
    chances: &[(prop::sample::Index, u8)],
) -> Result<Story, TestCaseError> {
    let mut run = Run::seeded(Arc::clone(plan), 7);
    let mut story = Story { events: Vec::new(), decisions: Vec::new() };
    let mut open: Vec<Decision> = Vec::new();
    let mut called: BTreeSet<CallId> = BTreeSet::new();
    let mut event = Event::Started { input: json!({"wanted": true, "n": 1}).into() };
    let mut chances = chances.iter().cycle();
    loop {
        prop_assert!(story.events.len() < 2000, "the run does not end");
        let decisions = run.handle(event.clone());
        story.events.push(event);
        story.decisions.push(decisions.clone());
        for decision in decisions {
            match &decision {
                Decision::Call { call, .. } => {
                    prop_assert!(called.insert(call.clone()), "{call} is called twice");
                    open.push(decision);
                }
                Decision::Wait { .. } => open.push(decision),
                Decision::Finish { .. } => {
                    // What waited in a step that was caught may wait still; nothing may run.
                    let runs = open.iter().any(|open| matches!(open, Decision::Call { .. }));
                    prop_assert!(run.is_done() && !runs, "calls run on: {open:?}");
                }
                Decision::Fail { .. } => prop_assert!(run.is_done()),
                Decision::Log(_) => {}
            }
        }
        if run.is_done() {
            return Ok(story);
        }
        prop_assert!(!open.is_empty(), "nothing runs, and the run is not done");
        let (which, chance) = chances.next().ok_or_else(|| TestCaseError::fail("no chances"))?;
        event = ended(open.remove(which.index(open.len())), *chance);
    }
}

fn ended(decision: Decision, chance: u8) -> Event {
    match decision {
        Decision::Call { call, .. } => match chance % 8 {
            0 => Event::Failed { call, error: crash(), not_run: false },
            1 => Event::Failed {
                call,
                error: CellError::new(Code::Unavailable, "gone"),
                not_run: true,
            },
            2 if chance > 200 => {
                Event::Failed { call, error: CellError::bad_request("no"), not_run: false }
            }
            _ => Event::Answered { value: json!(call.to_string()).into(), call },
        },
        Decision::Wait { call, .. } => Event::Waited { call },
        other => panic!("{other:?} does not end"),
    }
}

/// Every step's calls come after the last answer of all that it needs, and stay within `parallel`.
fn check_order(plan: &Plan, drawn: &[Drawn], story: &Story) -> Result<(), TestCaseError> {
    let mut running: BTreeMap<usize, usize> = BTreeMap::new();
    let mut first: BTreeMap<usize, usize> = BTreeMap::new();
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    let index =
        |call: &CallId| plan.steps().iter().position(|step| step.id() == call.step()).unwrap();
    for (time, (event, decisions)) in story.events.iter().zip(&story.decisions).enumerate() {
        if let Event::Answered { call, .. } | Event::Failed { call, .. } = event {
            *running.entry(index(call)).or_default() -= 1;
            last.insert(index(call), time);
        }
        for decision in decisions {
            let Decision::Call { call, .. } = decision else { continue };
            first.entry(index(call)).or_insert(time);
            let count = running.entry(index(call)).or_default();
            *count += 1;
            let most = drawn[index(call)].items.map_or(1, |(_, parallel)| parallel);
            prop_assert!(*count <= most, "{call}: {count} at once");
        }
    }
    for (index, begin) in first {
        for need in plan.steps()[index].needs() {
            prop_assert!(
                last.get(need).is_none_or(|end| *end <= begin),
                "step {index} began before its need {need} ended"
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_run_keeps_the_order_and_ends_and_its_events_replay_it(
        drawn in prop::collection::vec(drawn(), 1..9),
        chances in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..60),
    ) {
        let plan = Arc::new(Plan::new(built(&drawn)).expect("a plan"));
        let story = carried_out(&plan, &chances)?;
        check_order(&plan, &drawn, &story)?;
        // A journal is text: replay what was written and read again.
        let journal: Vec<String> = story.events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
        let mut replayed = Run::seeded(plan, 7);
        for (line, decisions) in journal.iter().zip(&story.decisions) {
            let again = replayed.handle(serde_json::from_str(line).unwrap());
            prop_assert_eq!(&again, decisions);
            let text = serde_json::to_string(&again).unwrap();
            prop_assert_eq!(serde_json::from_str::<Vec<Decision>>(&text).unwrap(), again);
        }
        prop_assert!(replayed.is_done());
    }

    #[test]
    fn a_run_in_which_nothing_fails_finishes_with_every_step(
        drawn in prop::collection::vec(drawn(), 1..9),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..60),
    ) {
        let plan = Arc::new(Plan::new(built(&drawn)).expect("a plan"));
        let chances: Vec<_> = order.into_iter().map(|which| (which, 3)).collect();
        let story = carried_out(&plan, &chances)?;
        let Some([.., Decision::Finish { output }]) = story.decisions.last().map(Vec::as_slice) else {
            return Err(TestCaseError::fail("it did not finish"));
        };
        let output: Value = serde_json::from_str(&output.to_string()).unwrap();
        for (index, drawn) in drawn.iter().enumerate() {
            let expected = match (drawn.when, drawn.items) {
                (false, _) => json!(null),
                (true, None) => json!(format!("s{index}")),
                (true, Some((items, _))) => (0..items).map(|item| json!(format!("s{index}[{item}]"))).collect(),
            };
            prop_assert_eq!(&output[format!("s{index}")], &expected);
        }
    }
}
