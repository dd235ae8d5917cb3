//! `kind: Cell` as editors see it.
#![allow(dead_code, reason = "only the schema of these types is used")]

use std::collections::BTreeMap;

use model::CallPolicy;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::{constant, rules};
use crate::{
    API_VERSION, bounds,
    read::{
        runtime::VARIABLE_PATTERN,
        shape::{CELL_KIND, ISOLATIONS, ROUTES, RUNTIMES, STRATEGIES},
    },
    schema::NAME_PATTERN,
    units::{DURATION_PATTERN, PERCENT_PATTERN, SIZE_PATTERN},
};

/// The official regular expression of <https://semver.org>, without named groups.
const VERSION_PATTERN: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-((0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$";
/// `organ.cell`, and the organ is not `flow`.
pub(super) const CELL_NAME_PATTERN: &str =
    r"^(?!flow\.)[a-z][a-z0-9_-]{0,62}\.[a-z][a-z0-9_-]{0,62}$";

/// From `1%` to `99%`.
const SHARE_PATTERN: &str = "^[1-9][0-9]?%$";

/// A cell: it does one task.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Cell {
    /// The version of this format.
    #[schemars(schema_with = "api_version")]
    api_version: String,
    /// Kind of the document.
    #[schemars(schema_with = "cell_kind")]
    kind: String,
    /// The name and what people and tools say about the spec.
    metadata: CellMetadata,
    /// Definition of the cell.
    spec: CellSpec,
}

pub(super) fn api_version(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::Schema::try_from(constant(API_VERSION)).unwrap_or_default()
}

fn cell_kind(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::Schema::try_from(constant(CELL_KIND)).unwrap_or_default()
}

/// The name and what people and tools say about a cell.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct CellMetadata {
    /// `organ.cell`, for example `logic.greet`.
    #[schemars(regex(pattern = CELL_NAME_PATTERN))]
    name: String,
    /// Purpose of the cell, in a sentence.
    description: Option<String>,
    /// For selecting specs.
    labels: Option<BTreeMap<String, String>>,
    /// For tools.
    annotations: Option<BTreeMap<String, String>>,
}

/// Definition of a cell.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = rules::of_runtimes)]
struct CellSpec {
    /// Runtime that runs the cell.
    #[schemars(extend("enum" = RUNTIMES))]
    runtime: String,
    /// Python: `file.py:function`; Dart: the file with `main`. Relative to this file.
    source: Option<String>,
    /// Schema of a call's payload: `domain/vN/Type`, a file in the nearest folder `schemas`.
    #[schemars(regex(pattern = NAME_PATTERN))]
    input: Option<String>,
    /// Schema of an answer's payload.
    #[schemars(regex(pattern = NAME_PATTERN))]
    output: Option<String>,
    /// Semantic version of the cell.
    #[schemars(regex(pattern = VERSION_PATTERN))]
    version: Option<String>,
    /// Limit of the calls that run at once in one body.
    #[schemars(extend("minimum" = bounds::CONCURRENCY.start(), "maximum" = bounds::CONCURRENCY.end()))]
    #[schemars(extend("default" = CallPolicy::CONCURRENCY_DEFAULT))]
    concurrency: Option<u64>,
    /// Limit of the further calls that may wait; calls beyond it are refused.
    #[schemars(extend("minimum" = bounds::QUEUE.start(), "maximum" = bounds::QUEUE.end()))]
    #[schemars(extend("default" = CallPolicy::QUEUE_DEFAULT))]
    queue: Option<u64>,
    /// The most time one call may take, for example `250ms`, `5s`, `1m` or `1h`.
    #[schemars(regex(pattern = DURATION_PATTERN), extend("default" = "5s"))]
    timeout: Option<String>,
    /// True if a call may be tried again when it is unknown whether it ran.
    #[schemars(extend("default" = false))]
    idempotent: Option<bool>,
    /// When a failed call is tried again; never unless given.
    retry: Option<Retry>,
    /// Route of calls to the cell; the body's setting unless given.
    #[schemars(extend("enum" = ROUTES))]
    route: Option<String>,
    /// The environment of the cell's processes.
    #[schemars(extend("propertyNames" = { "pattern": VARIABLE_PATTERN }))]
    env: Option<BTreeMap<String, String>>,
    /// A map that the cell reads.
    config: Option<Map<String, Value>>,
    /// Python: in the body's interpreter or in processes of its own.
    #[schemars(extend("enum" = ISOLATIONS, "default" = "shared"))]
    isolation: Option<String>,
    /// Python: how many lanes or processes.
    workers: Option<Workers>,
    /// The program and its arguments; a path with a `/` is relative to this file.
    #[schemars(length(min = 1))]
    command: Option<Vec<String>>,
    /// Number of processes.
    #[schemars(extend("minimum" = bounds::PROCESSES.start(), "maximum" = bounds::PROCESSES.end()))]
    #[schemars(extend("default" = 1))]
    instances: Option<u64>,
    /// Limits of one process.
    limits: Option<Limits>,
    /// In a fleet: on how many bodies it runs, or `all` that can.
    #[schemars(extend("default" = 1))]
    replicas: Option<Replicas>,
    /// In a fleet: a label's key; replicas go to bodies whose values of it differ.
    #[schemars(length(min = 1, max = bounds::LABEL_BYTES_MAX))]
    spread: Option<String>,
    /// In a fleet: labels that a body must have.
    #[schemars(extend("maxProperties" = bounds::PLACE_LABELS_MAX))]
    #[schemars(extend("propertyNames" = { "minLength": 1, "maxLength": bounds::LABEL_BYTES_MAX }))]
    place: Option<BTreeMap<String, Label>>,
    /// In a fleet: how a new revision takes the place of the old one.
    rollout: Option<Rollout>,
    /// True if the cell runs at all.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
}

/// A label's value.
#[derive(JsonSchema)]
pub(super) struct Label(#[schemars(length(min = 1, max = bounds::LABEL_BYTES_MAX))] String);

/// A number, or `all`.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Replicas {
    /// So many, or all that can where these are fewer.
    Count(
        #[schemars(extend("minimum" = bounds::REPLICAS.start(), "maximum" = bounds::REPLICAS.end()))]
         u64,
    ),
    /// Every body that can.
    All(#[schemars(extend("const" = "all"))] String),
}

/// Way in which a new revision replaces the old one.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = rules::strategy_or_canary)]
struct Rollout {
    /// `rolling`: the new one is ready, then the old one stops; `recreate`: the other way around.
    #[schemars(extend("enum" = STRATEGIES))]
    strategy: Option<String>,
    /// Both run, the new one for a share of the calls, until it has done well or badly.
    canary: Option<Canary>,
}

/// Share of calls that a canary gets, and the rules that decide about it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Canary {
    /// Its share of the calls, `1%` to `99%`.
    #[schemars(regex(pattern = SHARE_PATTERN))]
    share: String,
    /// Number of calls that it answers before anything is decided.
    #[schemars(extend("minimum" = bounds::CANARY_CALLS.start(), "maximum" = bounds::CANARY_CALLS.end()))]
    #[schemars(extend("default" = 50))]
    calls: Option<u64>,
    /// Time that it is ready before it takes over.
    #[schemars(regex(pattern = DURATION_PATTERN), extend("default" = "60s"))]
    after: Option<String>,
    /// Limit of its failed calls above those of the old revision, in percent of the calls.
    #[schemars(regex(pattern = PERCENT_PATTERN), extend("default" = "1%"))]
    errors: Option<String>,
    /// Its 95th percentile in percent of the old revision's: above it, it is too slow.
    #[schemars(regex(pattern = PERCENT_PATTERN), extend("default" = "200%"))]
    slower: Option<String>,
}

/// A number, or a range of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Workers {
    /// So many.
    Count(
        #[schemars(extend("minimum" = bounds::PROCESSES.start(), "maximum" = bounds::PROCESSES.end()))]
         u64,
    ),
    /// More under load.
    Range(WorkerRange),
}

/// `min` at start, up to `max` under load.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct WorkerRange {
    /// At least so many.
    #[schemars(extend("minimum" = bounds::PROCESSES.start(), "maximum" = bounds::PROCESSES.end()))]
    min: u64,
    /// At most so many, `min` or more.
    #[schemars(extend("minimum" = bounds::PROCESSES.start(), "maximum" = bounds::PROCESSES.end()))]
    max: u64,
}

/// Limits of one process.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Limits {
    /// Memory, for example `64MiB`.
    #[schemars(regex(pattern = SIZE_PATTERN))]
    memory: Option<String>,
    /// Open files.
    #[schemars(extend("minimum" = bounds::FILES.start(), "maximum" = bounds::FILES.end()))]
    files: Option<u64>,
}

/// When a failed call is tried again.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Retry {
    /// Limit of the further attempts.
    #[schemars(extend("minimum" = bounds::RETRIES.start(), "maximum" = bounds::RETRIES.end()))]
    max: u64,
    /// The wait before the second attempt; each further one doubles it.
    #[schemars(regex(pattern = DURATION_PATTERN), extend("default" = "100ms"))]
    backoff: Option<String>,
    /// The longest wait.
    #[schemars(regex(pattern = DURATION_PATTERN), extend("default" = "5s"))]
    max_backoff: Option<String>,
}
