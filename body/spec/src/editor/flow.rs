//! `kind: Flow` as editors see it.
#![allow(dead_code, reason = "only the schema of these types is used")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use super::{
    cell::{CELL_NAME_PATTERN, Label, Replicas, Retry, api_version},
    constant, rules,
};
use crate::{bounds, read::shape::FLOW_KIND, units::DURATION_PATTERN};

/// One part of a name: a flow's, or a step's id.
const PART_PATTERN: &str = "^[a-z][a-z0-9_-]{0,62}$";

/// A flow: steps that call cells and other flows.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Flow {
    /// The version of this format.
    #[schemars(schema_with = "api_version")]
    api_version: String,
    /// Kind of the document.
    #[schemars(schema_with = "flow_kind")]
    kind: String,
    /// The name and what people and tools say about the spec.
    metadata: FlowMetadata,
    /// Definition of the flow.
    spec: FlowSpec,
}

fn flow_kind(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::Schema::try_from(constant(FLOW_KIND)).unwrap_or_default()
}

/// The name and what people and tools say about a flow.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct FlowMetadata {
    /// One part, for example `greeting`.
    #[schemars(regex(pattern = PART_PATTERN))]
    name: String,
    /// Purpose of the flow, in a sentence.
    description: Option<String>,
    /// For selecting specs.
    labels: Option<BTreeMap<String, String>>,
    /// For tools.
    annotations: Option<BTreeMap<String, String>>,
}

/// Definition of a flow.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = rules::output)]
struct FlowSpec {
    /// The steps; each waits for the one above it unless its `needs` says otherwise.
    #[schemars(length(min = 1, max = bounds::STEPS_MAX))]
    steps: Vec<Step>,
    /// The answer: anything, with expressions such as `${ .steps.greet }`; the last step's value
    /// unless given.
    output: Value,
    /// The most time one run may take.
    #[schemars(regex(pattern = DURATION_PATTERN), extend("default" = "30s"))]
    timeout: Option<String>,
    /// In a fleet: on how many bodies it runs, or `all` that can.
    #[schemars(extend("default" = "all"))]
    replicas: Option<Replicas>,
    /// In a fleet: a label's key; replicas go to bodies whose values of it differ.
    #[schemars(length(min = 1, max = bounds::LABEL_BYTES_MAX))]
    spread: Option<String>,
    /// In a fleet: labels that a body must have.
    #[schemars(extend("maxProperties" = bounds::PLACE_LABELS_MAX))]
    #[schemars(extend("propertyNames" = { "minLength": 1, "maxLength": bounds::LABEL_BYTES_MAX }))]
    place: Option<BTreeMap<String, Label>>,
    /// True if the flow runs at all.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
}

/// One call, or one for each item of a list.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = rules::call_or_flow)]
struct Step {
    /// Names the step's value: `${ .steps.<id> }`.
    #[schemars(regex(pattern = PART_PATTERN))]
    id: String,
    /// The cell that is called.
    #[schemars(regex(pattern = CELL_NAME_PATTERN))]
    call: Option<String>,
    /// The flow that is called.
    #[schemars(regex(pattern = PART_PATTERN))]
    flow: Option<String>,
    /// Input: anything, with expressions such as `${ .input }` or `${ .steps.prompt.name }`; `null`
    /// unless given.
    with: Value,
    /// An expression `${ … }`: the step is skipped, and its value `null`, where it gives `false` or
    /// `null`.
    when: Option<Condition>,
    /// Fan-out: one call for each item, which is `${ .item }`, its number `${ .index }`.
    each: Option<Each>,
    /// The ids of the steps that must be done before; the step above unless given, `[]` for none.
    needs: Option<Vec<String>>,
    /// When a failed call is tried again; never unless given.
    retry: Option<Retry>,
    /// The most time one attempt may take; what remains of the flow's own unless given.
    #[schemars(regex(pattern = DURATION_PATTERN))]
    timeout: Option<String>,
    /// Fallback when the step has failed for good; the flow fails unless given.
    catch: Option<Catch>,
    /// True if the cell or flow that is called is not declared in these specs.
    #[schemars(extend("default" = false))]
    external: Option<bool>,
}

/// An expression, or `true` or `false`.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Condition {
    /// `${ .input.wanted }`.
    Expression(String),
    /// Always or never.
    Fixed(bool),
}

/// A list, an expression that gives one, or a map that says more.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Each {
    /// The items alone.
    Items(Items),
    /// The items, and how many calls may run at once.
    Map(EachMap),
}

/// A list, or an expression that gives one.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Items {
    /// `${ .input.names }`.
    Expression(String),
    /// Written out; items may have expressions.
    List(Vec<Value>),
}

/// The items, and how many calls may run at once.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct EachMap {
    /// Items of the list.
    items: Items,
    /// Limit of the calls that run at once.
    #[schemars(extend("minimum" = bounds::PARALLEL.start(), "maximum" = bounds::PARALLEL.end()))]
    #[schemars(extend("default" = flow::PARALLEL_DEFAULT))]
    parallel: Option<u64>,
}

/// The fallback of a step: its answer becomes the step's value.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = rules::catch)]
struct Catch {
    /// Which errors are caught, for example `unavailable` or `stock.empty`; all unless given.
    codes: Option<Vec<String>>,
    /// The cell that is called instead.
    #[schemars(regex(pattern = CELL_NAME_PATTERN))]
    call: Option<String>,
    /// The flow that is called instead.
    #[schemars(regex(pattern = PART_PATTERN))]
    flow: Option<String>,
    /// Input, or without `call` and `flow` the step's value; `${ .error.code }` is the error's
    /// code.
    with: Value,
    /// The most time the fallback may take.
    #[schemars(regex(pattern = DURATION_PATTERN))]
    timeout: Option<String>,
}
