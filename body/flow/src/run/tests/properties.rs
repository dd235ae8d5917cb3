//! For every flow and every order of answers: needs are kept, no call runs twice, every run ends.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// One generated step: the steps above that it needs, and its other fields.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    needs: Option<Vec<prop::sample::Index>>,
    when: bool,
    items: Option<(usize, usize)>,
    retries: u32,
    catch: Option<bool>,
    timeout: Option<u64>,
}

pub(super) fn drawn() -> impl Strategy<Value = Drawn> {
    let needs = prop::option::of(prop::collection::vec(any::<prop::sample::Index>(), 0..4));
    let items = prop::option::weighted(0.3, (0..6_usize, 1..4_usize));
    let catch = prop::option::of(any::<bool>());
    let timeout = prop::option::of(1..5_000_u64);
    (needs, prop::bool::weighted(0.8), items, 0..3_u32, catch, timeout).prop_map(
        |(needs, when, items, retries, catch, timeout)| Drawn {
            needs,
            when,
            items,
            retries,
            catch,
            timeout,
        },
    )
}

pub(super) fn built(drawn: &[Drawn]) -> Flow {
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
            timeout: drawn.timeout.map(Duration::from_millis),
            with: Some(json!("${ {n: .input.n, seen: (.steps | keys)} }")),
            ..step(&format!("s{index}"))
        }
    });
    let mut flow = flow(steps.collect());
    flow.output = Some(json!("${ .steps }"));
    flow
}

/// Choice of the work that ends next, and of its result and time.
pub(super) type Chance = (prop::sample::Index, u8);

/// Record of a run: its events, and its decisions after each event.
pub(super) struct Story {
    pub(super) run: Run,
    pub(super) events: Vec<Event>,
    pub(super) decisions: Vec<Vec<Decision>>,
    /// Calls and waits whose events have not come.
    pub(super) open: Vec<Decision>,
    called: BTreeSet<CallId>,
    now_ms: u64,
}

impl Story {
    pub(super) fn of(run: Run, open: Vec<Decision>) -> Self {
        let events = Vec::new();
        let decisions = Vec::new();
        Self { run, events, decisions, open, called: BTreeSet::new(), now_ms: AT_MS }
    }

    /// Gives the run an event and carries out what it decides.
    pub(super) fn handle(&mut self, event: Event) -> Result<(), TestCaseError> {
        let decisions = self.run.handle(event.clone());
        self.events.push(event);
        self.decisions.push(decisions.clone());
        for decision in decisions {
            match &decision {
                Decision::Call { call, .. } => {
                    prop_assert!(self.called.insert(call.clone()), "{call} is called twice");
                    self.open.push(decision);
                }
                Decision::Wait { .. } => self.open.push(decision),
                Decision::Finish { .. } => {
                    // What waited in a step that was caught may wait still; nothing may run.
                    let runs = self.open.iter().any(|open| matches!(open, Decision::Call { .. }));
                    prop_assert!(self.run.is_done() && !runs, "calls run on: {:?}", self.open);
                }
                Decision::Fail { .. } => prop_assert!(self.run.is_done()),
                Decision::Log(_) => {}
            }
        }
        Ok(())
    }

    /// Carries the run out to its end.
    pub(super) fn end(&mut self, chances: &[Chance]) -> Result<(), TestCaseError> {
        let mut chances = chances.iter().cycle();
        while !self.run.is_done() {
            prop_assert!(self.events.len() < 2000, "the run does not end");
            prop_assert!(!self.open.is_empty(), "nothing runs, and the run is not done");
            let (which, chance) =
                chances.next().ok_or_else(|| TestCaseError::fail("no chances"))?;
            let next = self.open.remove(which.index(self.open.len()));
            self.now_ms += u64::from(*chance);
            self.handle(ended(next, *chance, self.now_ms))?;
        }
        Ok(())
    }
}

/// Carries out a run: `chances` decide the order and the results of open calls and waits.
pub(super) fn carried_out(plan: &Arc<Plan>, chances: &[Chance]) -> Result<Story, TestCaseError> {
    let mut story = Story::of(Run::new(Arc::clone(plan), Uuid::from_u128(7)), Vec::new());
    story.handle(started(json!({"wanted": true, "n": 1})))?;
    story.end(chances)?;
    Ok(story)
}

fn ended(decision: Decision, chance: u8, at_ms: u64) -> Event {
    let failed = |call, error, not_run| Event::Failed { at_ms, call, error, not_run };
    match decision {
        Decision::Call { call, .. } => match chance % 8 {
            0 => failed(call, crash(), false),
            1 => failed(call, CellError::new(Code::Unavailable, "gone"), true),
            2 if chance > 200 => failed(call, CellError::bad_request("no"), false),
            2 if chance > 150 => failed(call, CellError::new(Code::Timeout, "late"), false),
            _ => Event::Answered { at_ms, value: json!(call.to_string()).into(), call },
        },
        Decision::Wait { call, due_ms } => Event::Waited { at_ms: at_ms.max(due_ms), call },
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
    fn a_run_keeps_the_order_and_ends(
        drawn in prop::collection::vec(drawn(), 1..9),
        chances in prop::collection::vec(any::<Chance>(), 1..60),
    ) {
        let plan = Arc::new(Plan::new(built(&drawn)).expect("a plan"));
        check_order(&plan, &drawn, &carried_out(&plan, &chances)?)?;
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
