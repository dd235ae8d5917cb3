//! Table of the fields of every map. A test checks the editors' schema against this table.

/// A kind of map: its name in messages, and its fields.
#[derive(Debug)]
pub(crate) struct Shape {
    /// As in "a cell's `spec`".
    pub(crate) what: &'static str,
    pub(crate) fields: &'static [&'static str],
}

pub(super) const DOCUMENT: Shape =
    Shape { what: "a document", fields: &["apiVersion", "kind", "metadata", "spec"] };
pub(super) const METADATA: Shape =
    Shape { what: "`metadata`", fields: &["name", "description", "labels", "annotations"] };
pub(super) const CELL: Shape = Shape {
    what: "a cell's `spec`",
    fields: &[
        "runtime",
        "source",
        "input",
        "output",
        "version",
        "concurrency",
        "queue",
        "timeout",
        "idempotent",
        "retry",
        "route",
        "env",
        "config",
        "isolation",
        "workers",
        "command",
        "instances",
        "limits",
        "replicas",
        "spread",
        "place",
        "rollout",
        "enabled",
    ],
};
/// The fields of the deployment of a cell or a flow. They do not change what it is.
pub(crate) const DEPLOYMENT: &[&str] = &["replicas", "spread", "place", "rollout", "enabled"];
pub(super) const ROLLOUT: Shape = Shape { what: "`rollout`", fields: &["strategy", "canary"] };
pub(super) const CANARY: Shape =
    Shape { what: "`canary`", fields: &["share", "calls", "after", "errors", "slower"] };
pub(super) const WORKERS: Shape = Shape { what: "`workers`", fields: &["min", "max"] };
pub(super) const LIMITS: Shape = Shape { what: "`limits`", fields: &["memory", "files"] };
pub(super) const RETRY: Shape =
    Shape { what: "`retry`", fields: &["max", "backoff", "max_backoff"] };
pub(super) const FLOW: Shape = Shape {
    what: "a flow's `spec`",
    fields: &["steps", "output", "timeout", "replicas", "spread", "place", "enabled"],
};
pub(super) const STEP: Shape = Shape {
    what: "a step",
    fields: &[
        "id", "call", "flow", "with", "when", "each", "needs", "retry", "timeout", "catch",
        "external",
    ],
};
pub(super) const EACH: Shape = Shape { what: "`each`", fields: &["items", "parallel"] };
pub(super) const CATCH: Shape =
    Shape { what: "`catch`", fields: &["codes", "call", "flow", "with", "timeout"] };

/// Every shape with its name in the editors' schema.
#[cfg(test)]
pub(crate) const SHAPES: &[(&str, &Shape)] = &[
    ("CellMetadata", &METADATA),
    ("FlowMetadata", &METADATA),
    ("Cell", &DOCUMENT),
    ("Flow", &DOCUMENT),
    ("CellSpec", &CELL),
    ("WorkerRange", &WORKERS),
    ("Limits", &LIMITS),
    ("Retry", &RETRY),
    ("Rollout", &ROLLOUT),
    ("Canary", &CANARY),
    ("FlowSpec", &FLOW),
    ("Step", &STEP),
    ("EachMap", &EACH),
    ("Catch", &CATCH),
];

pub(crate) const CELL_KIND: &str = "Cell";
pub(crate) const FLOW_KIND: &str = "Flow";
/// Kinds of documents.
pub(crate) const KINDS: &[&str] = &[CELL_KIND, FLOW_KIND];

/// Runtimes of cells.
pub(crate) const RUNTIMES: &[&str] = &["rust", "python", "dart", "exec"];
/// Routes of calls.
pub(crate) const ROUTES: &[&str] = &["local-first", "nats"];
/// Ways in which a new revision replaces the old one.
pub(crate) const STRATEGIES: &[&str] = &["rolling", "recreate"];
/// Isolations of cells in Python.
pub(crate) const ISOLATIONS: &[&str] = &["shared", "process"];

/// The fields that only some runtimes have.
pub(crate) const RUNTIME_FIELDS: &[(&str, &[&str])] = &[
    ("source", &["python", "dart"]),
    ("command", &["dart", "exec"]),
    ("env", &["python", "dart", "exec"]),
    ("isolation", &["python"]),
    ("workers", &["python"]),
    ("instances", &["dart", "exec"]),
    ("limits", &["dart", "exec"]),
];
