//! The `spec` of a `kind: Flow`.

use std::sync::Arc;

use cbs::{FlowName, Target};
use flow::{Flow, PathPart, Plan, Problem};
use model::Metadata;

use super::{
    deployment,
    fields::Fields,
    item::Item,
    shape::FLOW,
    step::{self, StepRead},
};
use crate::{
    FlowSpec, bounds, code,
    source::SourceSpan,
    yaml::{Content, Node},
};

/// A call that a flow makes, for the checks between specs.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) target: Target,
    /// Where the target's name stands.
    pub(crate) span: SourceSpan,
    /// True if the flow says that the target is not declared in these specs.
    pub(crate) external: bool,
}

/// The problems of a plan that come from the ids of steps and from their needs.
const ORDER_CODES: [&str; 4] = ["flow-unknown-step", "flow-not-before", "flow-needs", "flow-cycle"];

/// Reads all fields. Returns the calls even if the flow itself cannot be read.
pub(super) fn read(
    spec: Item<'_>,
    name: Option<FlowName>,
    metadata: Metadata,
) -> (Option<FlowSpec>, Vec<Call>) {
    let Some(fields) = Fields::open(spec, &FLOW) else { return (None, Vec::new()) };
    let timeout =
        fields.get("timeout").and_then(Item::duration).unwrap_or(bounds::FLOW_TIMEOUT_DEFAULT);
    let output = fields.get("output").map(Item::json);
    let deployment = deployment::of_flow(&fields);
    let mut calls = Vec::new();
    let steps = fields
        .need(
            "steps",
            "a flow needs steps, for example `steps: [{ id: greet, call: logic.greet }]`",
        )
        .and_then(|item| steps(item, &mut calls));
    let Some(steps) = steps else { return (None, calls) };
    // A flow without a readable name is planned all the same, for the mistakes of its steps.
    let planned = name.clone().or_else(|| FlowName::new("unnamed").ok()).map(|name| {
        let order_known = steps.iter().all(|step| step.has_order);
        let steps = steps.into_iter().map(|step| step.step).collect();
        (Plan::new(Flow { name, steps, output }), order_known)
    });
    let plan = match planned {
        Some((Ok(plan), _)) => Some(plan),
        Some((Err(problems), order_known)) => {
            // Without an id it is unknown which step may read which.
            for problem in problems
                .into_iter()
                .filter(|problem| order_known || !ORDER_CODES.contains(&problem.code))
            {
                report(&fields, problem);
            }
            None
        }
        None => None,
    };
    let spec = plan.zip(name).map(|(plan, name)| FlowSpec {
        name,
        metadata,
        timeout,
        deployment,
        plan: Arc::new(plan),
    });
    (spec, calls)
}

fn steps(item: Item<'_>, calls: &mut Vec<Call>) -> Option<Vec<StepRead>> {
    let items = item.list("a list of steps")?;
    let steps: Vec<StepRead> =
        items.enumerate().filter_map(|(index, item)| step::read(item, index, calls)).collect();
    if item.node.at_index(0).is_none() {
        let hint = "a flow needs at least one step".to_owned();
        return item.report(code::OUT_OF_RANGE, "`steps` is empty".to_owned(), Some(hint));
    }
    if item.node.at_index(bounds::STEPS_MAX).is_some() {
        let message = format!("`steps` has more than {} steps", bounds::STEPS_MAX);
        let hint = "put some of them into a flow of their own, and call it with `flow:`".to_owned();
        return item.report(code::OUT_OF_RANGE, message, Some(hint));
    }
    Some(steps)
}

/// Reports a mistake of the plan at the place of its path.
fn report(fields: &Fields<'_>, problem: Problem) {
    let span = location(fields.node(), &problem.path);
    fields.report(span, problem.code, problem.message, problem.hint);
}

/// The value at the end of the path, or the nearest thing around it that is there.
fn location(root: &Node, path: &[PathPart]) -> SourceSpan {
    let mut node = root;
    for part in path {
        let next = match part {
            PathPart::Key(key) => node.at_key(key),
            PathPart::Index(index) => node.at_index(*index),
        };
        let Some(next) = next else { break };
        node = next;
    }
    match node.content {
        Content::List(_) | Content::Map(_) => node.head,
        _ => node.span,
    }
}
