//! Makes a plan from a flow, and finds all mistakes that can be found before it runs.

use std::time::Duration;

use cbs::{Code, Target, Text};
use serde_json::Value;

use super::{Plan, PlanCatch, PlanEach, PlanStep, order};
use crate::{
    Catch, Each, Flow, PathPart, Problem, Step,
    expression::{Mistake, Names},
    suggest,
    template::{Template, below, code},
};

/// Limit of the bytes of a step's id, as for every other name.
const ID_BYTES_MAX: usize = 63;
/// The project's own error codes, for "did you mean".
const CODES: &[Code] = &[
    Code::BadRequest,
    Code::Refused,
    Code::NotFound,
    Code::Conflict,
    Code::TooLarge,
    Code::Overloaded,
    Code::CellFailed,
    Code::Internal,
    Code::Unavailable,
    Code::Timeout,
];

/// `[a-z][a-z0-9_-]*`, at most 63 bytes.
pub(crate) fn is_step_id(id: &str) -> bool {
    let mut bytes = id.bytes();
    id.len() <= ID_BYTES_MAX
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
        })
}

/// The place of a step's field.
pub(super) fn place(step: usize, field: &str) -> Vec<PathPart> {
    vec![PathPart::Key("steps".into()), PathPart::Index(step), PathPart::Key(field.into())]
}

pub(super) fn plan(flow: &Flow) -> Result<Plan, Vec<Problem>> {
    let mut problems = Vec::new();
    if flow.steps.is_empty() {
        let mistake = Mistake::new("flow-empty", "the flow has no steps")
            .hint("`steps: [{ id: greet, call: logic.greet }]`");
        problems.push(mistake.at(&[PathPart::Key("steps".into())]));
    }
    check_ids(flow, &mut problems);
    let order = order::Order::new(flow, &mut problems);
    let names: Vec<Text> = flow.steps.iter().map(|step| Text::from(step.id.as_str())).collect();
    let next = order::dependents(&order.needs);
    let links = order.needs.into_iter().zip(next).zip(&order.before);
    let steps =
        flow.steps.iter().enumerate().zip(links).map(|((index, step), ((needs, next), before))| {
            let names =
                Names { steps: &names, before, own: Some(index), each: false, catch: false };
            let mut maker = Maker { index, step, names, problems: &mut problems };
            PlanStep { needs, next, ..maker.step() }
        });
    let steps: Vec<PlanStep> = steps.collect();
    let all: Vec<usize> = (0..names.len()).collect();
    let after_all = Names { steps: &names, before: &all, own: None, each: false, catch: false };
    let output = flow.output.as_ref();
    let output = output.map(|output| {
        Template::new(output, &after_all, &[PathPart::Key("output".into())], &mut problems)
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Plan { name: flow.name.clone(), steps, names, output })
}

fn check_ids(flow: &Flow, problems: &mut Vec<Problem>) {
    for (index, step) in flow.steps.iter().enumerate() {
        if !is_step_id(&step.id) {
            let shown: String = step.id.chars().take(80).collect();
            let mistake = Mistake::new("flow-step-id", format!("`{shown}` is no id of a step"));
            let hint = "write a-z, 0-9, `_` and `-`, a letter first, at most 63 bytes, for example `greet`";
            problems.push(mistake.hint(hint).at(&place(index, "id")));
        }
        if let Some(first) = flow.steps.iter().take(index).position(|other| other.id == step.id) {
            let message = format!(
                "two steps have the id `{}`: steps {} and {}",
                step.id,
                first + 1,
                index + 1
            );
            problems.push(
                Mistake::new("flow-step-twice", message)
                    .hint("give each its own")
                    .at(&place(index, "id")),
            );
        }
    }
}

/// Makes one step of a plan.
struct Maker<'m> {
    index: usize,
    step: &'m Step,
    names: Names<'m>,
    problems: &'m mut Vec<Problem>,
}

impl Maker<'_> {
    fn step(&mut self) -> PlanStep {
        let step = self.step;
        self.check_target(&step.target, &place(self.index, "call"));
        self.check_timeout(step.timeout, &place(self.index, "timeout"));
        let in_item = Names { each: step.each.is_some(), ..self.names };
        PlanStep {
            id: Text::from(step.id.as_str()),
            target: step.target.clone(),
            when: step.when.as_ref().map(|when| self.when(when)),
            each: step.each.as_ref().map(|each| self.each(each)),
            with: step
                .with
                .as_ref()
                .map(|with| self.template(with, in_item, &place(self.index, "with"))),
            needs: Vec::new(),
            next: Vec::new(),
            retry: step.retry.clone(),
            timeout: step.timeout,
            catch: step.catch.as_deref().map(|catch| self.catch(catch)),
        }
    }

    fn template(&mut self, value: &Value, names: Names<'_>, path: &[PathPart]) -> Template {
        Template::new(value, &names, path, self.problems)
    }

    fn problem(&mut self, mistake: Mistake, path: &[PathPart]) {
        self.problems.push(mistake.at(path));
    }

    fn when(&mut self, when: &Value) -> Template {
        let path = place(self.index, "when");
        let is_condition = match when {
            Value::Bool(_) => true,
            // Mistakes of the expression itself are reported by the template.
            Value::String(text) => !matches!(code(text), Ok(None)),
            _ => false,
        };
        if !is_condition {
            let mistake = Mistake::new(
                "flow-when",
                "`when` is no expression, so it would always or never hold",
            );
            self.problem(mistake.hint("write `${ .input.wanted }`, or `true` or `false`"), &path);
        }
        self.template(when, self.names, &path)
    }

    fn each(&mut self, each: &Each) -> PlanEach {
        let path = below(&place(self.index, "each"), PathPart::Key("items".into()));
        let items = self.template(&each.items, self.names, &path);
        if matches!(&items, Template::Map(_))
            || matches!(&items, Template::Fixed(fixed) if !fixed.is_array() && self.is_plain(&each.items))
        {
            let mistake = Mistake::new("flow-each", "`each` has no list to go through");
            self.problem(mistake.hint("write `${ .input.names }`, or a list"), &path);
        }
        if each.parallel == 0 {
            let path = below(&place(self.index, "each"), PathPart::Key("parallel".into()));
            self.problem(
                Mistake::new("flow-each", "`parallel` is 0, so no item would ever run")
                    .hint("write 1 or more"),
                &path,
            );
        }
        PlanEach { items, parallel: each.parallel }
    }

    /// True if a value is no expression, not even a broken one.
    fn is_plain(&self, value: &Value) -> bool {
        value.as_str().is_none_or(|text| matches!(code(text), Ok(None)))
    }

    fn catch(&mut self, catch: &Catch) -> PlanCatch {
        let path = place(self.index, "catch");
        let at = |field: &str| below(&path, PathPart::Key(field.into()));
        for (index, code) in catch.codes.iter().enumerate() {
            if let Some(hint) = unknown_code(code) {
                let mistake = Mistake::new("flow-catch", format!("no error has the code `{code}`"))
                    .hint(hint);
                self.problem(mistake, &below(&at("codes"), PathPart::Index(index)));
            }
        }
        if let Some(target) = &catch.target {
            self.check_target(target, &at("call"));
        }
        self.check_timeout(catch.timeout, &at("timeout"));
        let names = Names { catch: true, ..self.names };
        PlanCatch {
            codes: catch.codes.clone(),
            target: catch.target.clone(),
            with: catch.with.as_ref().map(|with| self.template(with, names, &at("with"))),
            timeout: catch.timeout,
        }
    }

    fn check_target(&mut self, target: &Target, path: &[PathPart]) {
        if let Target::Topic(topic) = target {
            let mistake = Mistake::new(
                "flow-target",
                format!("the topic `{topic}` gives no answer, so a step cannot call it"),
            );
            self.problem(mistake.hint("call a cell that publishes the event"), path);
        }
    }

    fn check_timeout(&mut self, timeout: Option<Duration>, path: &[PathPart]) {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            let mistake =
                Mistake::new("flow-timeout", "the timeout is 0, so no call could ever be answered");
            self.problem(mistake.hint("write for example `5s`, or leave it out"), path);
        }
    }
}

/// Returns a hint if a code is neither the project's nor of the form `domain.code`.
fn unknown_code(code: &str) -> Option<String> {
    match Code::from(code) {
        Code::Domain(domain) if !domain.contains('.') => {
            let hint = suggest::hint(code, CODES.iter().map(Code::as_str));
            Some(format!("{hint} (a cell's own code is of the form `stock.empty`)"))
        }
        _ => None,
    }
}
