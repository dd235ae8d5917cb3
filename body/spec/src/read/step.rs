//! One step of a flow.

use cbs::{CellName, FlowName, Target};
use flow::{Catch, Each, PARALLEL_DEFAULT, Step};

use super::{
    cell::retry,
    fields::Fields,
    flow::Call,
    item::Item,
    shape::{CATCH, EACH, STEP},
};
use crate::{bounds, code, yaml::Content};

/// A step. Parts that could not be read have a substitute, so that the plan can check the rest.
pub(super) struct StepRead {
    pub(super) step: Step,
    /// True if the id and the needs of the step could be read.
    pub(super) has_order: bool,
}

/// Reads a step. Returns one even if it is broken, so that the steps after it keep their numbers.
pub(super) fn read(item: Item<'_>, index: usize, calls: &mut Vec<Call>) -> Option<StepRead> {
    let fields = Fields::open(Item { name: "a step", ..item }, &STEP);
    let mut step = Step {
        id: format!("unreadable-step-{index}"),
        target: stand_in()?,
        with: None,
        when: None,
        each: None,
        needs: None,
        retry: None,
        timeout: None,
        catch: None,
    };
    let Some(fields) = fields else { return Some(StepRead { step, has_order: false }) };
    let id = fields.need("id", "a step needs an id, for example `id: greet`").and_then(Item::text);
    let external = fields.get("external").and_then(Item::flag).unwrap_or(false);
    if !fields.has("call") && !fields.has("flow") {
        fields.miss(
            "a step needs the field `call` or `flow`".to_owned(),
            "for example `call: logic.greet`",
        );
    }
    step.id = id.map_or(step.id, str::to_owned);
    step.target = target(&fields, external, calls).unwrap_or(step.target);
    step.with = fields.get("with").map(Item::json);
    step.when = fields.get("when").and_then(condition);
    step.each = fields.get("each").map(|item| each(item).unwrap_or(NO_ITEMS));
    let needs = fields
        .get("needs")
        .map(|item| item.texts().filter(|ids| item.node.at_index(ids.len()).is_none()));
    step.retry = fields.get("retry").and_then(retry);
    step.timeout = fields.get("timeout").and_then(Item::duration);
    step.catch = fields.get("catch").and_then(|item| catch(item, external, calls)).map(Box::new);
    let has_order = id.is_some() && !matches!(needs, Some(None));
    step.needs = needs.flatten();
    Some(StepRead { step, has_order })
}

/// Substitute for an `each` that could not be read, so that `.item` is known.
const NO_ITEMS: Each =
    Each { items: serde_json::Value::Array(Vec::new()), parallel: PARALLEL_DEFAULT };

/// Returns a substitute for a target that could not be read. It is never called.
fn stand_in() -> Option<Target> {
    CellName::new("unknown.cell").ok().map(Target::Cell)
}

/// Reads `call` or `flow`. The caller of this function reports if both are missing.
fn target(fields: &Fields<'_>, external: bool, calls: &mut Vec<Call>) -> Option<Target> {
    let cell = fields.get("call").map(|item| (item, item.name(CellName::new).map(Target::Cell)));
    let flow = fields.get("flow").map(|item| (item, item.name(FlowName::new).map(Target::Flow)));
    if cell.is_some() && flow.is_some() {
        let message = "`call` and `flow` exclude each other".to_owned();
        let hint = Some("`call` is for a cell, `flow` for a flow: keep one".to_owned());
        fields.report(fields.key_span("flow"), code::CONFLICT, message, hint);
    }
    for (item, target) in [&cell, &flow].into_iter().flatten() {
        if let Some(target) = target.clone() {
            calls.push(Call { target, span: item.node.span, external });
        }
    }
    cell.or(flow).and_then(|(_, target)| target)
}

/// An expression, or `true` or `false`; the plan checks which.
fn condition(item: Item<'_>) -> Option<serde_json::Value> {
    match item.node.content {
        Content::Text(_) | Content::Bool(_) => Some(item.json()),
        _ => item.wrong_type("an expression such as `${ .input.wanted }`"),
    }
}

/// `{ items, parallel }`, or the items alone: a list, or an expression that gives one.
fn each(item: Item<'_>) -> Option<Each> {
    match &item.node.content {
        Content::Text(_) | Content::List(_) => {
            Some(Each { items: item.json(), parallel: PARALLEL_DEFAULT })
        }
        Content::Map(_) => {
            let fields = Fields::open(item, &EACH)?;
            let items =
                fields.need("items", "say which list, for example `items: \"${ .input.names }\"`");
            let items = items.and_then(|item| match item.node.content {
                Content::Text(_) | Content::List(_) => Some(item.json()),
                _ => item.wrong_type("a list, or an expression that gives one"),
            });
            let parallel = fields.get("parallel").and_then(|item| item.count(&bounds::PARALLEL));
            let parallel = parallel.and_then(|parallel| usize::try_from(parallel).ok());
            Some(Each { items: items?, parallel: parallel.unwrap_or(PARALLEL_DEFAULT) })
        }
        _ => {
            item.wrong_type("a list, an expression that gives one, or a map `{ items, parallel }`")
        }
    }
}

fn catch(item: Item<'_>, external: bool, calls: &mut Vec<Call>) -> Option<Catch> {
    let fields = Fields::open(item, &CATCH)?;
    let target = target(&fields, external, calls);
    let with = fields.get("with").map(Item::json);
    if with.is_none() && !fields.has("call") && !fields.has("flow") {
        let hint = "`call` or `flow` is called instead; `with` alone is the step's value";
        fields.miss("`catch` needs the field `call`, `flow` or `with`".to_owned(), hint);
    }
    Some(Catch {
        codes: fields.get("codes").and_then(Item::texts).unwrap_or_default(),
        target,
        with,
        timeout: fields.get("timeout").and_then(Item::duration),
    })
}
