//! Values of checked specs.

use std::{num::NonZeroU32, time::Duration};

use model::{Isolation, Limits, Program, Route, Runtime, Workers};
use serde_json::json;

use crate::support::{cell, load};

fn the_cell(yaml: &str) -> model::CellSpec {
    let specs = load(yaml).unwrap_or_else(|error| panic!("{error}"));
    let cell = specs.cells().next().unwrap();
    (**cell).clone()
}

#[test]
fn what_is_not_said_has_its_default() {
    let cell = the_cell(&cell(""));
    assert_eq!(cell.runtime, Runtime::Rust);
    assert_eq!(
        (cell.policy.concurrency, cell.policy.queue, cell.policy.timeout),
        (64, 256, Duration::from_secs(5))
    );
    assert_eq!(
        (cell.policy.idempotent, cell.policy.retry, cell.policy.route, cell.version),
        (false, None, None, None)
    );
    assert!(cell.input.is_none() && cell.output.is_none() && cell.config.is_empty());
    assert_eq!((cell.metadata.file.to_str().unwrap(), cell.metadata.line), ("spec.yaml", 1));
}

#[test]
fn what_is_said_is_there() {
    let cell = the_cell(
        "# a comment\n---\napiVersion: cbs/v1alpha1\nkind: Cell\nmetadata:\n  name: shop.price\n  description: Prices.\n  labels: { on: 'no', off: yes }\n  annotations: { a: b }\nspec:\n  runtime: rust\n  version: 1.2.3\n  concurrency: 8\n  queue: 0\n  timeout: 1m\n  idempotent: true\n  retry: { max: 3, backoff: 20ms, max_backoff: 2s }\n  route: nats\n  config: { rate: 1.5, tags: [a, null], deep: { hex: 0x1f } }\n",
    );
    assert_eq!(cell.metadata.line, 3);
    assert_eq!(cell.metadata.description.as_deref(), Some("Prices."));
    // YAML 1.1 would make booleans of these.
    assert_eq!(
        cell.metadata.labels,
        [("on", "no"), ("off", "yes")].map(|(k, v)| (k.into(), v.into())).into()
    );
    assert_eq!(cell.metadata.annotations["a"], "b");
    assert_eq!(cell.version.unwrap().to_string(), "1.2.3");
    assert_eq!(
        (cell.policy.concurrency, cell.policy.queue, cell.policy.timeout),
        (8, 0, Duration::from_secs(60))
    );
    assert!(cell.policy.idempotent);
    let retry = cell.policy.retry.unwrap();
    assert_eq!(
        (retry.max, retry.backoff.as_millis(), retry.backoff_max.as_millis()),
        (3, 20, 2_000)
    );
    assert_eq!(cell.policy.route, Some(Route::Nats));
    assert_eq!(
        json!(cell.config),
        json!({ "rate": 1.5, "tags": ["a", null], "deep": { "hex": 31 } })
    );
}

#[test]
fn waits_that_are_not_said_fit_those_that_are() {
    let waits = |retry: &str| {
        let retry = the_cell(&cell(&format!("  retry: {retry}"))).policy.retry.unwrap();
        (retry.backoff.as_millis(), retry.backoff_max.as_millis())
    };
    assert_eq!(waits("{ max: 1 }"), (100, 5_000));
    assert_eq!(waits("{ max: 1, backoff: 10s }"), (10_000, 10_000));
    assert_eq!(waits("{ max: 1, max_backoff: 50ms }"), (50, 50));
}

#[test]
fn durations_and_sizes_are_read_in_their_units() {
    for (written, millis) in
        [("1ms", 1), ("250ms", 250), ("5s", 5_000), ("1m30s", 90_000), ("1d", 86_400_000)]
    {
        assert_eq!(
            the_cell(&cell(&format!("  timeout: {written}"))).policy.timeout,
            Duration::from_millis(millis),
            "{written}"
        );
    }
    for (written, bytes) in [
        ("1048576B", 1 << 20),
        ("2048KiB", 2 << 20),
        ("64MiB", 64 << 20),
        ("2GiB", 2 << 30),
        ("5000KB", 5_000_000),
        ("5MB", 5_000_000),
        ("5GB", 5_000_000_000),
    ] {
        let yaml = cell(&format!("  command: [x]\n  limits: {{ memory: {written} }}"))
            .replace("rust", "exec");
        let Runtime::Exec(sidecar) = the_cell(&yaml).runtime else { panic!() };
        assert_eq!(sidecar.limits, Limits { memory: Some(bytes), files: None }, "{written}");
    }
}

#[test]
fn paths_are_relative_to_the_file_they_stand_in() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("specs/cells")).unwrap();
    std::fs::write(folder.path().join("greet.py"), "").unwrap();
    let file = folder.path().join("specs/cells/spec.yaml");
    let yaml = format!(
        "{}---\n{}",
        cell("  source: ../../greet.py:greet\n  isolation: process\n  workers: { min: 1, max: 4 }\n  env: { A: b }")
            .replace("rust", "python"),
        cell("  command: [../../greet.py, --flag, ./as-it-is]\n  instances: 3")
            .replace("rust", "exec")
            .replace("price", "pay"),
    );
    let specs = spec::load_texts([(file, yaml.as_str())], &spec::Options::default()).unwrap();
    let found = folder.path().join("specs/cells").join("../../greet.py");
    let four = NonZeroU32::new(4).unwrap();
    let Runtime::Python(python) = &specs.cell(&"shop.price".parse().unwrap()).unwrap().runtime
    else {
        panic!()
    };
    assert_eq!((&python.file, python.function.as_str()), (&found, "greet"));
    assert_eq!(
        (python.isolation, python.workers),
        (Isolation::Process, Workers { min: NonZeroU32::MIN, max: four })
    );
    assert_eq!(python.env["A"], "b");
    let Runtime::Exec(exec) = &specs.cell(&"shop.pay".parse().unwrap()).unwrap().runtime else {
        panic!()
    };
    let command = [found.to_str().unwrap(), "--flag", "./as-it-is"].map(str::to_owned).to_vec();
    assert_eq!((&exec.program, exec.instances.get()), (&Program::Command(command), 3));
}

#[test]
fn a_revision_changes_with_what_a_spec_says_and_with_nothing_else() {
    let revision = |yaml: &str| the_cell(yaml).metadata.revision;
    let base = revision(&cell("  queue: 1\n  config: { a: 1, b: 2 }"));
    assert_eq!(base.len(), 12);
    assert_eq!(
        base,
        revision(&cell("\n  # a comment\n  config:\n    b: 0x2\n    a: 1\n  queue: 1 # one"))
    );
    assert_ne!(base, revision(&cell("  queue: 2\n  config: { a: 1, b: 2 }")));
    assert_ne!(base, revision(&cell("  queue: 1\n  config: { a: 1, b: '2' }")));
    assert_ne!(base, revision(&cell("  queue: 1\n  config: { a: 1 }")));
}

#[test]
fn where_a_flow_runs_is_read_and_is_no_part_of_its_revision() {
    let flow = |more: &str| {
        let text = format!(
            "apiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: {{ name: greeting }}\nspec:\n{more}  steps:\n    \
             - {{ id: greet, call: logic.greet, external: true }}\n"
        );
        let specs =
            spec::load_texts([("flow.yaml".into(), text.as_str())], &spec::Options::default())
                .unwrap();
        specs.flows().next().unwrap().clone()
    };
    let base = flow("");
    assert_eq!(base.deployment.replicas, model::Replicas::All);
    let placed = flow("  replicas: 2\n  spread: zone\n  place: { disk: ssd }\n  enabled: false\n");
    assert_eq!(placed.metadata.revision, base.metadata.revision);
    let model::Deployment { replicas, spread, placement, enabled, .. } = &placed.deployment;
    assert_eq!(
        (*replicas, spread.as_deref(), *enabled),
        (model::Replicas::Count(2), Some("zone"), false)
    );
    assert_eq!(placement.get("disk").map(String::as_str), Some("ssd"));
}

#[test]
fn where_a_cell_runs_is_read_and_is_no_part_of_its_revision() {
    let base = the_cell(&cell(""));
    assert_eq!(base.deployment, model::Deployment::default());
    let placed = "  replicas: all\n  spread: zone\n  place: { disk: ssd }\n  enabled: false\n";
    let placed = the_cell(&cell(&format!(
        "{placed}  rollout: {{ canary: {{ share: 5%, after: 2m, errors: 0% }} }}"
    )));
    assert_eq!(placed.metadata.revision, base.metadata.revision);
    let model::Deployment { replicas, spread, placement, rollout, enabled } = placed.deployment;
    assert_eq!((replicas, spread.as_deref(), enabled), (model::Replicas::All, Some("zone"), false));
    assert_eq!(placement.get("disk").map(String::as_str), Some("ssd"));
    let model::Rollout::Canary(canary) = rollout else { panic!("{rollout:?}") };
    assert_eq!(
        (
            canary.share,
            canary.calls_min,
            canary.after_ms,
            canary.errors_more_max,
            canary.slower_max
        ),
        (5, 50, 120_000, 0, 200)
    );
    // The same words in a cell's own map are the cell's.
    let own = the_cell(&cell("  config: { replicas: 2 }")).metadata.revision;
    assert_ne!(own, the_cell(&cell("  config: { replicas: 3 }")).metadata.revision);
}
