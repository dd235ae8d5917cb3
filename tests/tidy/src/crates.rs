//! The table of crates: the crates that each crate may use. ARCHITECTURE.md shows the same table to
//! people.

/// One crate of the workspace, or one folder of like crates.
#[derive(Debug)]
pub struct CrateRule {
    /// Its folder; `cells/*` stands for every folder in `cells/`.
    pub folder: &'static str,
    /// Crates that its code uses.
    pub uses: &'static [&'static str],
    /// Crates that only its tests use.
    pub tests_use: &'static [&'static str],
}

const fn rule(
    folder: &'static str,
    uses: &'static [&'static str],
    tests_use: &'static [&'static str],
) -> CrateRule {
    CrateRule { folder, uses, tests_use }
}

/// Every edge between crates. A new one gets a commit of its own, with its reason.
pub const CRATES: &[CrateRule] = &[
    rule(
        "body",
        &[
            "bus",
            "bus-nats",
            "cbs",
            "cells/*",
            "fleet",
            "flow",
            "host",
            "host-python",
            "host-sidecar",
            "model",
            "spec",
        ],
        &["testkit"],
    ),
    rule("body/contract", &[], &["testkit"]),
    rule("body/model", &["cbs"], &[]),
    rule("body/bus", &["cbs", "model"], &["testkit"]),
    rule("body/bus-nats", &["cbs", "process"], &["bus", "model", "testkit"]),
    rule("body/spec", &["cbs", "flow", "model"], &[]),
    rule("body/fleet", &["cbs", "model"], &[]),
    rule("body/flow", &["cbs", "model"], &[]),
    rule("body/host", &["bus", "cbs", "flow", "model"], &["spec", "testkit"]),
    rule("body/process", &[], &["testkit"]),
    rule("body/sidecar", &["cbs"], &["testkit"]),
    rule(
        "body/host-sidecar",
        &["cbs", "host", "model", "process", "sidecar"],
        &["bus", "bus-nats", "spec", "testkit"],
    ),
    rule(
        "body/host-python",
        &["cbs", "host", "host-sidecar", "model", "sidecar"],
        &["bus", "spec", "testkit"],
    ),
    rule("body/testkit", &["bus-nats", "cbs"], &[]),
    rule("cells/*", &["cbs"], &["testkit"]),
    rule("tests", &["body", "cbs", "testkit"], &[]),
    rule(
        "tests/bench",
        &["body", "bus", "bus-nats", "cbs", "fleet", "host", "model", "sidecar", "spec"],
        &[],
    ),
    rule("tests/tidy", &[], &[]),
];

/// Libraries that only some crates may use, with the packages that may name them, and the reason.
pub const WALLED_OFF: &[(&str, &[&str], &str)] = &[
    (
        "async-nats",
        &["bus-nats", "testkit", "e2e", "bench"],
        "it breaks every few months: one crate pays",
    ),
    ("pyo3", &["host-python"], "it links libpython"),
    ("clap", &["body", "bench"], "libraries have no command line"),
    ("clap_complete", &["body"], "libraries have no command line"),
    ("miette", &["body"], "libraries return errors, the program draws them"),
    ("anyhow", &["body", "bench", "e2e"], "callers of a library branch on what went wrong"),
    ("notify", &["body"], "only the program watches files"),
    ("opentelemetry", &["body"], "libraries emit tracing events, the program exports them"),
    ("opentelemetry_sdk", &["body"], "libraries emit tracing events, the program exports them"),
    ("opentelemetry-otlp", &["body"], "libraries emit tracing events, the program exports them"),
    (
        "opentelemetry-proto",
        &["body", "e2e"],
        "libraries hand over spans, the program exports them; a story receives them",
    ),
    ("tonic", &["body", "e2e"], "the program alone speaks gRPC; a story receives it"),
    ("hyper", &["body"], "the program alone answers over HTTP"),
    (
        "tracing-subscriber",
        &["body", "host", "host-python", "host-sidecar"],
        "libraries emit tracing events, the program writes them; the hosts' tests read them",
    ),
    ("mimalloc", &["body", "bench"], "a program chooses its allocator"),
    ("jaq-core", &["flow"], "one expression language, compiled in one place"),
    ("saphyr-parser", &["spec"], "YAML of ours is read in one place, with all its mistakes"),
    ("prost-build", &["tidy"], "generated code is checked in"),
    ("protox", &["tidy"], "generated code is checked in"),
];

/// Limit of the libraries that the contract depends on: every author of a cell pays for them.
pub const CONTRACT_DEPENDENCIES_MAX: usize = 10;

/// Packages that a cell's manifest may name, for its code and for its tests.
pub const CELL_USES: &[&str] = &["cbs", "serde"];
/// Packages that only a cell's tests may name.
pub const CELL_TESTS_USE: &[&str] = &["testkit", "tokio"];
