//! Flows that become a plan, and every mistake that prevents it.

use serde_json::json;

use super::*;
use crate::{
    CODES, Catch, Each, PathPart, Step,
    testing::{flow, step},
};

fn problems(flow: Flow) -> Vec<Problem> {
    let problems = Plan::new(flow).expect_err("no problem was found");
    for problem in &problems {
        assert!(
            CODES.iter().any(|(code, _)| *code == problem.code),
            "{} is not in CODES",
            problem.code
        );
        assert!(
            !problem.message.contains('\n')
                && problem.hint.as_ref().is_none_or(|hint| !hint.contains('\n'))
        );
    }
    problems
}

fn only(steps: Vec<Step>) -> Problem {
    let mut problems = problems(flow(steps));
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

fn path(problem: &Problem) -> String {
    let parts = problem.path.iter().map(|part| match part {
        PathPart::Key(key) => key.clone(),
        PathPart::Index(index) => index.to_string(),
    });
    parts.collect::<Vec<_>>().join(".")
}

fn needing(id: &str, needs: &[&str]) -> Step {
    Step { needs: Some(needs.iter().map(ToString::to_string).collect()), ..step(id) }
}

#[test]
fn a_step_needs_the_one_above_unless_it_says_otherwise() {
    let plan = Plan::new(flow(vec![
        step("a"),
        step("b"),
        needing("c", &["a"]),
        needing("d", &[]),
        needing("e", &["c", "d", "c"]),
    ]))
    .unwrap();
    let needs: Vec<&[usize]> = plan.steps().iter().map(PlanStep::needs).collect();
    assert_eq!(needs, [&[][..], &[0], &[0], &[], &[2, 3]]);
    assert_eq!(plan.name().as_str(), "test");
    assert_eq!(plan.steps()[4].id(), "e");
}

#[test]
fn all_targets_are_told_with_those_of_catch() {
    let catch = Catch {
        codes: vec![],
        target: Some("logic.rescue".parse().unwrap()),
        with: None,
        timeout: None,
    };
    let plan = Plan::new(flow(vec![Step { catch: Some(Box::new(catch)), ..step("a") }, step("b")]))
        .unwrap();
    let names: Vec<&str> = plan.targets().map(Target::name).collect();
    assert_eq!(names, ["logic.a", "logic.rescue", "logic.b"]);
}

#[test]
fn a_cycle_is_named_from_the_step_written_first() {
    let problem = only(vec![
        step("start"),
        needing("b", &["d", "start"]),
        needing("c", &["b"]),
        needing("d", &["c"]),
        step("after"),
    ]);
    assert_eq!(problem.message, "steps wait for each other: `b` needs `d` needs `c` needs `b`");
    assert_eq!((problem.code, path(&problem).as_str()), ("flow-cycle", "steps.1.needs"));
    let problem =
        only(vec![Step { with: Some(json!("${ .steps.b }")), ..needing("a", &["b"]) }, step("b")]);
    assert_eq!(problem.message, "steps wait for each other: `a` needs `b` needs `a`");
}

#[test]
fn needs_of_what_is_not_there_are_told() {
    let problem = only(vec![step("prompt"), needing("greet", &["promt"])]);
    assert_eq!(
        (problem.message.as_str(), problem.hint.as_deref()),
        ("there is no step `promt`", Some("did you mean `prompt`?"))
    );
    assert_eq!(path(&problem), "steps.1.needs.0");
    let problem = only(vec![step("prompt"), needing("greet", &["prompt", "greet"])]);
    assert_eq!(
        (problem.message.as_str(), path(&problem).as_str()),
        ("the step `greet` needs itself", "steps.1.needs.1")
    );
}

#[test]
fn ids_are_names_and_stand_once() {
    let problem = only(vec![step("Greet")]);
    assert_eq!((problem.code, path(&problem).as_str()), ("flow-step-id", "steps.0.id"));
    let problem = only(vec![step("greet"), step("other"), step("greet")]);
    assert_eq!(problem.message, "two steps have the id `greet`: steps 1 and 3");
    for id in ["", "1a", "a.b", "ä", "a b", &"a".repeat(64)] {
        assert_eq!(only(vec![step(id)]).code, "flow-step-id");
    }
    assert_eq!(only(vec![]).code, "flow-empty");
}

#[test]
fn a_step_reads_only_what_is_done_before_it() {
    let reading = |id: &str, with: &str| Step { with: Some(json!(with)), ..step(id) };
    assert!(Plan::new(flow(vec![step("a"), step("b"), reading("c", "${ .steps.a }")])).is_ok());
    let problem = only(vec![step("a"), needing("b", &[]), reading("c", "${ .steps.a }")]);
    assert_eq!((problem.code, path(&problem).as_str()), ("flow-not-before", "steps.2.with"));
    assert_eq!(only(vec![reading("a", "${ .steps.b }"), step("b")]).code, "flow-not-before");
    assert_eq!(
        only(vec![reading("a", "${ .steps.a }")]).message,
        "`.steps.a` is read by the step `a` itself"
    );
}

#[test]
fn roots_are_where_they_belong() {
    let each = Each { items: json!("${ .input }"), parallel: 2 };
    let catch =
        Catch { codes: vec![], target: None, with: Some(json!("${ .error.code }")), timeout: None };
    let good = Step {
        each: Some(each.clone()),
        with: Some(json!("${ .item }")),
        catch: Some(Box::new(catch)),
        ..step("a")
    };
    assert!(Plan::new(flow(vec![good])).is_ok());
    let wrong = Step {
        each: Some(each),
        when: Some(json!("${ .item }")),
        with: Some(json!("${ .error }")),
        ..step("a")
    };
    let found: Vec<_> =
        problems(flow(vec![wrong])).iter().map(|problem| (path(problem), problem.code)).collect();
    assert_eq!(
        found,
        [("steps.0.when".to_owned(), "flow-root"), ("steps.0.with".to_owned(), "flow-root")]
    );
}

#[test]
fn what_can_never_work_is_told() {
    let zero = std::time::Duration::ZERO;
    let topic = "topic order.created".parse().unwrap();
    let catch = |codes: &[&str]| Catch {
        codes: codes.iter().map(ToString::to_string).collect(),
        target: None,
        with: None,
        timeout: None,
    };
    let each = |items, parallel| Some(Each { items, parallel });
    for (step, code, place) in [
        (Step { target: topic, ..step("a") }, "flow-target", "steps.0.call"),
        (Step { timeout: Some(zero), ..step("a") }, "flow-timeout", "steps.0.timeout"),
        (Step { when: Some(json!("yes")), ..step("a") }, "flow-when", "steps.0.when"),
        (Step { when: Some(json!(1)), ..step("a") }, "flow-when", "steps.0.when"),
        (Step { each: each(json!([1]), 0), ..step("a") }, "flow-each", "steps.0.each.parallel"),
        (Step { each: each(json!("names"), 1), ..step("a") }, "flow-each", "steps.0.each.items"),
        (
            Step { each: each(json!({"a": "${ .input }"}), 1), ..step("a") },
            "flow-each",
            "steps.0.each.items",
        ),
        (
            Step {
                catch: Some(Box::new(catch(&["timeout", "stock.empty", "time-out"]))),
                ..step("a")
            },
            "flow-catch",
            "steps.0.catch.codes.2",
        ),
        (
            Step { when: Some(json!("is ${ .input }")), ..step("a") },
            "flow-interpolation",
            "steps.0.when",
        ),
        (
            Step { each: each(json!("${ .inptu }"), 1), ..step("a") },
            "flow-root",
            "steps.0.each.items",
        ),
    ] {
        let problem = only(vec![step]);
        assert_eq!((problem.code, path(&problem).as_str()), (code, place), "{problem:?}");
    }
    let problem = only(vec![Step { catch: Some(Box::new(catch(&["time-out"]))), ..step("a") }]);
    assert!(problem.hint.unwrap().starts_with("did you mean `timeout`?"));
}

#[test]
fn every_problem_is_told_at_once() {
    let mut bad = flow(vec![
        Step { with: Some(json!({"a": "${ .steps.b }", "b": "x ${ . }"})), ..step("a") },
        Step { when: Some(json!("${ nwo }")), ..needing("a", &["nobody"]) },
        Step { target: "topic order.created".parse().unwrap(), ..needing("C", &["C"]) },
    ]);
    bad.output = Some(json!(["${ .steps.d }"]));
    let problems = problems(bad);
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(
        codes,
        [
            "flow-step-twice",
            "flow-step-id",
            "flow-needs",
            "flow-needs",
            "flow-unknown-step",
            "flow-interpolation",
            "flow-refused",
            "flow-target",
            "flow-unknown-step",
        ]
    );
}

#[test]
fn a_long_chain_is_planned() {
    let steps = (0..2000).map(|n| step(&format!("s{n}"))).collect();
    assert_eq!(Plan::new(flow(steps)).unwrap().steps().len(), 2000);
}
