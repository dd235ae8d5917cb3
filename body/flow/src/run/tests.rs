//! Runs, event by event.

mod properties;
mod replay;
mod retries;

use cbs::{CellError, Code};
use model::RetryPolicy;
use serde_json::{Value, json};

use super::*;
use crate::{
    Catch, Each, Flow, LogEntry, Step,
    testing::{flow, step},
};

/// Time of all events of a story.
const AT_MS: u64 = 1_700_000_000_000;

fn run(flow: Flow) -> Run {
    Run::new(Arc::new(Plan::new(flow).expect("a plan")), Uuid::from_u128(7))
}

fn started(input: impl Into<Json>) -> Event {
    Event::Started { at_ms: AT_MS, input: input.into() }
}

fn answered(call: &str, value: impl Into<Json>) -> Event {
    Event::Answered { at_ms: AT_MS, call: call.parse().unwrap(), value: value.into() }
}

fn failed(call: &str, error: CellError, not_run: bool) -> Event {
    Event::Failed { at_ms: AT_MS, call: call.parse().unwrap(), error, not_run }
}

fn waited(call: &str) -> Event {
    Event::Waited { at_ms: AT_MS, call: call.parse().unwrap() }
}

fn with(id: &str, with: &str) -> Step {
    Step { with: Some(json!(with)), ..step(id) }
}

fn needing(id: &str, needs: &[&str]) -> Step {
    Step { needs: Some(needs.iter().map(ToString::to_string).collect()), ..step(id) }
}

fn retry(max: u32, backoff: u64) -> Option<RetryPolicy> {
    Some(RetryPolicy {
        max,
        backoff: Duration::from_millis(backoff),
        backoff_max: Duration::from_secs(2),
    })
}

fn catch(codes: &[&str], target: Option<&str>, with: &str) -> Option<Box<Catch>> {
    let codes = codes.iter().map(ToString::to_string).collect();
    Some(Box::new(Catch {
        codes,
        target: target.map(|target| target.parse().unwrap()),
        with: Some(json!(with)),
        timeout: None,
    }))
}

fn each(items: &str, parallel: usize) -> Option<Each> {
    Some(Each { items: json!(items), parallel })
}

/// Decisions in short: `greet(1)`, `wait greet#1`, `finish 1`, `fail message`, `skip greet`,
/// `caught greet`.
fn short(decisions: &[Decision]) -> Vec<String> {
    let one = |decision: &Decision| match decision {
        Decision::Call { call, input, .. } => format!("{call}({input})"),
        Decision::Wait { call, .. } => format!("wait {call}"),
        Decision::Finish { output } => format!("finish {output}"),
        Decision::Fail { error } => format!("fail {error}"),
        Decision::Log(LogEntry::Skipped { step }) => format!("skip {step}"),
        Decision::Log(LogEntry::NoValue { .. }) => "no value".to_owned(),
        Decision::Log(LogEntry::Caught { step, error }) => format!("caught {step} {}", error.code),
    };
    decisions.iter().map(one).collect()
}

trait RunScript {
    fn begin(&mut self, input: Value) -> Vec<String>;
    fn answer(&mut self, call: &str, value: Value) -> Vec<String>;
    fn failed(&mut self, call: &str, error: CellError, not_run: bool) -> Vec<String>;
    fn wakes(&mut self, call: &str) -> Vec<String>;
    fn fail(&mut self, call: &str, error: CellError) -> Vec<String> {
        self.failed(call, error, false)
    }
    fn not_run(&mut self, call: &str, error: CellError) -> Vec<String> {
        self.failed(call, error, true)
    }
}

impl RunScript for Run {
    fn begin(&mut self, input: Value) -> Vec<String> {
        short(&self.handle(started(input)))
    }
    fn answer(&mut self, call: &str, value: Value) -> Vec<String> {
        short(&self.handle(answered(call, value)))
    }
    fn failed(&mut self, call: &str, error: CellError, not_run: bool) -> Vec<String> {
        short(&self.handle(failed(call, error, not_run)))
    }
    fn wakes(&mut self, call: &str) -> Vec<String> {
        short(&self.handle(waited(call)))
    }
}

fn crash() -> CellError {
    CellError::new(Code::CellFailed, "the cell failed")
}

const NOTHING: [&str; 0] = [];

#[test]
fn steps_run_one_after_the_other_and_the_last_value_is_the_answer() {
    let mut run = run(flow(vec![
        with("prompt", "${ .input }"),
        with("greet", "${ {name: .steps.prompt} }"),
        step("print"),
    ]));
    assert_eq!(run.begin(json!("Ada")), ["prompt(\"Ada\")"]);
    assert_eq!(run.answer("prompt", json!("Grace")), ["greet({\"name\":\"Grace\"})"]);
    assert_eq!(run.answer("greet", json!("Hello")), ["print(null)"]);
    assert!(!run.is_done());
    assert_eq!(run.answer("print", json!([1])), ["finish [1]"]);
    assert!(run.is_done());
}

#[test]
fn a_call_carries_its_id_the_target_the_due_time_and_the_attempt() {
    let timed = Step {
        timeout: Some(Duration::from_micros(2_999_001)),
        target: "flow greeting".parse().unwrap(),
        ..step("a")
    };
    let decisions = run(flow(vec![timed])).handle(started(json!(1)));
    let target = "flow greeting".parse().unwrap();
    let call: CallId = "a".parse().unwrap();
    let id = call.id_in(Uuid::from_u128(7));
    let due_ms = Some(AT_MS + 3_000);
    assert_eq!(
        decisions,
        [Decision::Call { call, id, target, input: Json::null(), due_ms, attempt: 0 }]
    );
}

#[test]
fn what_does_not_depend_on_each_other_runs_at_once() {
    let mut flow =
        flow(vec![step("a"), needing("b", &[]), needing("c", &["a"]), needing("d", &["b", "c"])]);
    flow.output = Some(json!({"all": "${ [.steps[]] }", "n": "${ .input + 1 }"}));
    let mut run = run(flow);
    assert_eq!(run.begin(json!(1)), ["a(null)", "b(null)"]);
    assert_eq!(run.answer("b", json!("B")), NOTHING);
    assert_eq!(run.answer("a", json!("A")), ["c(null)"]);
    assert_eq!(run.answer("c", json!("C")), ["d(null)"]);
    assert_eq!(run.answer("d", json!("D")), ["finish {\"all\":[\"A\",\"B\",\"C\",\"D\"],\"n\":2}"]);
}

#[test]
fn a_skipped_step_is_null_and_what_follows_runs() {
    let skipped = Step { when: Some(json!("${ .input.wanted }")), ..step("a") };
    let mut run = run(flow(vec![
        skipped,
        with("b", "${ .steps.a // \"none\" }"),
        Step { when: Some(json!(false)), ..step("c") },
    ]));
    assert_eq!(run.begin(json!({})), ["skip a", "b(\"none\")"]);
    assert_eq!(run.answer("b", json!(1)), ["skip c", "finish null"]);
}

#[test]
fn when_takes_all_but_false_and_null_for_yes() {
    for (input, runs) in [
        (json!(true), true),
        (json!(0), true),
        (json!(""), true),
        (json!(false), false),
        (json!(null), false),
    ] {
        let conditional = Step { when: Some(json!("${ .input }")), ..step("a") };
        let decisions = run(flow(vec![conditional])).begin(input.clone());
        assert_eq!(decisions[0] == "a(null)", runs, "{input}");
    }
}

#[test]
fn each_calls_so_many_at_once_and_answers_in_the_order_of_the_list() {
    let fan = Step {
        each: each("${ .input }", 2),
        with: Some(json!("${ [.index, .item] }")),
        ..step("a")
    };
    let mut run = run(flow(vec![fan, with("b", "${ .steps.a }")]));
    assert_eq!(run.begin(json!(["x", "y", "z"])), ["a[0]([0,\"x\"])", "a[1]([1,\"y\"])"]);
    assert_eq!(run.answer("a[1]", json!("Y")), ["a[2]([2,\"z\"])"]);
    assert_eq!(run.answer("a[2]", json!("Z")), NOTHING);
    assert_eq!(run.answer("a[0]", json!("X")), ["b([\"X\",\"Y\",\"Z\"])"]);
}

#[test]
fn each_over_nothing_gives_nothing_and_over_no_list_fails() {
    let fan = || Step { each: each("${ .input }", 2), ..step("a") };
    assert_eq!(run(flow(vec![fan()])).begin(json!([])), ["finish []"]);
    let failed = run(flow(vec![fan()])).begin(json!("names"));
    assert_eq!(
        failed,
        ["fail flow.expression: step `a` failed: `each` goes through a list, and this is a text"]
    );
}

#[test]
fn a_failed_step_fails_the_flow_at_once_and_by_name() {
    let mut run = run(flow(vec![step("a"), needing("b", &[]), needing("c", &["a", "b"])]));
    run.begin(json!(null));
    let error = CellError::domain("stock.empty", "no more tea")
        .retryable()
        .with_details(json!({"left": 0}));
    let decisions = run.handle(failed("b", error, false));
    let named = CellError::domain("stock.empty", "step `b` failed: no more tea")
        .retryable()
        .with_details(json!({"left": 0}));
    assert_eq!(decisions, [Decision::Fail { error: named }]);
    assert!(run.is_done());
    assert_eq!(run.answer("a", json!(1)), NOTHING);
    assert_eq!(run.begin(json!(1)), NOTHING);
}

#[test]
fn an_error_without_details_gets_the_place_as_such() {
    let mut each_run = run(flow(vec![Step { each: each("${ .input }", 9), ..step("a") }]));
    each_run.begin(json!([1, 2]));
    let decisions = each_run.handle(failed("a[1]", crash(), false));
    let error = CellError::new(Code::CellFailed, "step `a`, item 1 failed: the cell failed");
    assert_eq!(
        decisions,
        [Decision::Fail { error: error.with_details(json!({"step": "a", "item": 1})) }]
    );
}

#[test]
fn no_call_of_the_event_that_fails_the_flow_is_made() {
    let mut run = run(flow(vec![
        step("a"),
        needing("b", &["a"]),
        Step { with: Some(json!("${ .steps.a.x }")), ..needing("c", &["a"]) },
    ]));
    run.begin(json!(null));
    let decisions = run.answer("a", json!(5));
    assert_eq!(
        decisions,
        [
            "no value",
            "fail flow.expression: step `c` failed: `${ .steps.a.x }`: cannot index a number with \"x\""
        ]
    );
}

#[test]
fn a_caught_step_has_the_value_of_its_fallback() {
    let caught = Step { catch: catch(&[], Some("logic.rescue"), "${ .error }"), ..step("a") };
    let mut run = run(flow(vec![caught, with("b", "${ .steps.a }")]));
    run.begin(json!(null));
    let error = CellError::domain("stock.empty", "no tea").with_details(json!([1]));
    let root = r#"{"code":"stock.empty","details":[1],"message":"no tea","retryable":false}"#;
    assert_eq!(
        run.fail("a", error),
        ["caught a stock.empty".to_owned(), format!("a/catch({root})")]
    );
    assert_eq!(run.answer("a/catch", json!("coffee")), ["b(\"coffee\")"]);
}

#[test]
fn a_catch_without_a_call_gives_its_value() {
    let mut run =
        run(flow(vec![Step { catch: catch(&["timeout"], None, "${ .error.code }"), ..step("a") }]));
    run.begin(json!(null));
    assert_eq!(
        run.fail("a", CellError::new(Code::Timeout, "late")),
        ["caught a timeout", "finish \"timeout\""]
    );
}

#[test]
fn a_catch_takes_the_codes_it_names_and_retries_come_first() {
    let caught = || Step {
        catch: catch(&["cell-failed"], None, "rescued"),
        retry: retry(1, 5),
        ..step("a")
    };
    let mut first = run(flow(vec![caught()]));
    first.begin(json!(null));
    assert_eq!(first.fail("a", crash()), ["wait a#1"]);
    first.wakes("a#1");
    assert_eq!(first.fail("a#1", crash()), ["caught a cell-failed", "finish \"rescued\""]);
    let mut other = run(flow(vec![caught()]));
    other.begin(json!(null));
    assert_eq!(
        other.fail("a", CellError::bad_request("no")),
        ["fail bad-request: step `a` failed: no"]
    );
}

#[test]
fn a_fallback_that_fails_fails_the_flow() {
    let caught = |with: &str| Step { catch: catch(&[], Some("logic.rescue"), with), ..step("a") };
    let mut failing = run(flow(vec![caught("x")]));
    failing.begin(json!(null));
    failing.fail("a", crash());
    let failed = failing.fail("a/catch", CellError::new(Code::Timeout, "late"));
    assert_eq!(failed, ["fail timeout: step `a`: its catch failed: late"]);
    let mut wrong = run(flow(vec![caught("${ .error.code.x }")]));
    wrong.begin(json!(null));
    let failed = wrong.fail("a", crash());
    assert!(
        failed[2].starts_with("fail flow.expression: step `a`: its catch failed: `${"),
        "{failed:?}"
    );
}

#[test]
fn an_expression_that_fails_can_be_caught_wherever_it_stands() {
    let wrong = "${ .input.x.y }";
    for bad in [
        Step { when: Some(json!(wrong)), ..step("a") },
        Step { with: Some(json!(wrong)), ..step("a") },
        Step { each: each(wrong, 1), ..step("a") },
        Step { each: each("${ [1, 2] }", 1), with: Some(json!(wrong)), ..step("a") },
    ] {
        let caught = Step { catch: catch(&["flow.expression"], None, "rescued"), ..bad };
        let decisions = run(flow(vec![caught])).begin(json!({"x": 1}));
        assert_eq!(decisions, ["no value", "caught a flow.expression", "finish \"rescued\""]);
    }
}

#[test]
fn a_fallback_begins_when_nothing_of_its_step_runs_any_more() {
    let fan = Step {
        each: each("${ .input }", 3),
        retry: retry(1, 10),
        catch: catch(&[], None, "${ .error.message }"),
        ..step("a")
    };
    let mut run = run(flow(vec![fan]));
    assert_eq!(run.begin(json!([1, 2, 3, 4])).len(), 3);
    assert_eq!(run.fail("a[0]", crash()), ["wait a[0]#1"]);
    assert_eq!(run.fail("a[1]", CellError::bad_request("first")), NOTHING);
    assert_eq!(run.wakes("a[0]#1"), NOTHING, "what waited is not tried again");
    assert_eq!(run.fail("a[2]", crash()), ["caught a bad-request", "finish \"first\""]);
}

#[test]
fn an_answer_to_no_call_changes_nothing() {
    let mut run = run(flow(vec![Step { retry: retry(1, 10), ..step("a") }, step("b")]));
    assert_eq!(run.answer("a", json!(1)), NOTHING, "before the start");
    run.begin(json!(null));
    for foreign in ["b", "c", "a[0]", "a#1", "a/catch"] {
        assert_eq!(run.answer(foreign, json!(1)), NOTHING, "{foreign}");
        assert_eq!(run.fail(foreign, crash()), NOTHING, "{foreign}");
        assert_eq!(run.wakes(foreign), NOTHING, "{foreign}");
    }
    assert_eq!(run.wakes("a"), NOTHING);
    assert_eq!(run.fail("a", crash()), ["wait a#1"]);
    assert_eq!(run.answer("a", json!(1)), NOTHING, "too late");
    assert_eq!(run.answer("a#1", json!(1)), NOTHING, "not called yet");
    assert_eq!(run.wakes("a#1"), ["a#1(null)"]);
    assert_eq!(run.wakes("a#1"), NOTHING, "a second time");
    assert_eq!(run.answer("a#1", json!(1)), ["b(null)"]);
    assert_eq!(run.answer("a#1", json!(1)), NOTHING, "a second time");
}

#[test]
fn an_output_that_fails_fails_the_flow() {
    let mut flow = flow(vec![step("a")]);
    flow.output = Some(json!("${ .steps.a.x }"));
    let mut run = run(flow);
    run.begin(json!(null));
    let failed = run.answer("a", json!("text"));
    assert_eq!(
        failed,
        [
            "no value",
            "fail flow.expression: the flow's output has no value: `${ .steps.a.x }`: cannot index a text with \"x\""
        ]
    );
}

#[test]
fn plans_are_shared_by_threads_and_runs_move_between_them() {
    fn shared<T: Send + Sync>() {}
    shared::<Plan>();
    shared::<Run>();
}

#[test]
fn the_values_of_a_failed_expression_are_in_a_note_and_not_in_the_error() {
    let mut run = run(flow(vec![step("auth"), with("b", "${ .steps.auth + 1 }")]));
    run.begin(json!(null));
    let decisions = run.handle(answered("auth", json!({"token": "tok-SECRET"})));
    let [Decision::Log(LogEntry::NoValue { message, values }), Decision::Fail { error }] =
        decisions.as_slice()
    else {
        panic!("{decisions:?}");
    };
    let said = "`${ .steps.auth + 1 }`: cannot add a map and a number";
    assert_eq!(
        (message.as_str(), error.message.as_str()),
        (said, &*format!("step `b` failed: {said}"))
    );
    assert!(values.contains("tok-SECRET") && !format!("{error:?}").contains("SECRET"), "{values}");
}

#[test]
fn what_passes_through_stays_byte_for_byte() {
    let text = "{ \"id\": 12345678901234567890123, \"at\" : 1.50, \"b\":1e2,\"b\": -0 }";
    let fan =
        Step { each: each("${ [1, 2] }", 2), with: Some(json!("${ .steps.a }")), ..step("b") };
    let mut flow = flow(vec![with("a", "${ .input }"), fan]);
    flow.output = Some(json!({"all": "${ .steps.b }", "first": "${ .steps.a.id }"}));
    let mut run = run(flow);
    let json = |text: &str| Json::read(&text.to_owned().into()).unwrap();
    assert_eq!(short(&run.handle(started(json(text)))), [format!("a({text})")]);
    let answered = |call: &str, text: &str| answered(call, json(text));
    let calls = [format!("b[0]({text})"), format!("b[1]({text})")];
    assert_eq!(short(&run.handle(answered("a", text))), calls);
    assert_eq!(short(&run.handle(answered("b[0]", text))), NOTHING);
    let output = format!("{{\"all\":[{text},1.0],\"first\":12345678901234567890123}}");
    assert_eq!(short(&run.handle(answered("b[1]", "1.0"))), [format!("finish {output}")]);
}
