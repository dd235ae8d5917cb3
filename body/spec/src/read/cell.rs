//! The `spec` of a `kind: Cell`.

use std::{sync::Arc, time::Duration};

use cbs::CellName;
use model::{CallPolicy, CellSpec, Metadata, RetryPolicy, Route, Schema};

use super::{
    deployment,
    document::Context,
    fields::Fields,
    item::Item,
    runtime,
    shape::{CELL, RETRY, ROUTES},
};
use crate::{bounds, code};

/// Reads all fields; `None` where the name or the runtime could not be read.
pub(super) fn read(
    spec: Item<'_>,
    name: Option<CellName>,
    metadata: Metadata,
    context: Context<'_>,
) -> Option<CellSpec> {
    let fields = Fields::open(spec, &CELL)?;
    let runtime = runtime::read(&fields);
    let version = fields.get("version").and_then(version);
    let [input, output] =
        ["input", "output"].map(|name| fields.get(name).and_then(|item| schema(item, context)));
    let count = |name, range, default: usize| {
        let count = fields.get(name).and_then(|item| item.count(range));
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
    };
    let concurrency = count("concurrency", &bounds::CONCURRENCY, CallPolicy::CONCURRENCY_DEFAULT);
    let queue = count("queue", &bounds::QUEUE, CallPolicy::QUEUE_DEFAULT);
    let timeout =
        fields.get("timeout").and_then(Item::duration).unwrap_or(CallPolicy::TIMEOUT_DEFAULT);
    let idempotent = fields.get("idempotent").and_then(Item::flag).unwrap_or(false);
    let retry = fields.get("retry").and_then(retry);
    let route = fields.get("route").and_then(route);
    let config = fields.get("config").and_then(Item::object).unwrap_or_default();
    let deployment = deployment::of_cell(&fields);
    Some(CellSpec {
        name: name?,
        metadata,
        version,
        runtime: runtime?,
        input,
        output,
        policy: CallPolicy { timeout, concurrency, queue, idempotent, retry, route },
        config,
        deployment,
    })
}

fn version(item: Item<'_>) -> Option<semver::Version> {
    if let crate::yaml::Content::Number(number) = &item.node.content {
        let message = format!("`{number}` is no semantic version");
        return item.report(
            code::BAD_VERSION,
            message,
            Some("write three numbers, for example `1.0.0`".to_owned()),
        );
    }
    let text = item.text()?;
    match semver::Version::parse(text) {
        Ok(version) => Some(version),
        Err(error) => {
            let message =
                format!("`{}` is no semantic version: {error}", super::fields::shown(text));
            item.report(
                code::BAD_VERSION,
                message,
                Some("write three numbers, for example `1.0.0`".to_owned()),
            )
        }
    }
}

fn schema(item: Item<'_>, context: Context<'_>) -> Option<Arc<dyn Schema>> {
    let name = item.text()?;
    match context.schemas.get(name, context.findings.source.folder()) {
        Ok(schema) => Some(schema),
        Err(failure) => item.report(failure.code, failure.message, failure.hint),
    }
}

fn route(item: Item<'_>) -> Option<Route> {
    Route::read(item.word(ROUTES)?)
}

/// `retry` of a cell and of a step alike.
pub(super) fn retry(item: Item<'_>) -> Option<RetryPolicy> {
    let fields = Fields::open(item, &RETRY)?;
    let max = fields
        .need("max", "say how many more attempts, for example `max: 3`")
        .and_then(|item| item.count(&bounds::RETRIES));
    let backoff = fields.get("backoff").map(Item::duration);
    let backoff_max = fields.get("max_backoff").map(Item::duration);
    if let (Some(Some(first)), Some(Some(longest))) = (backoff, backoff_max)
        && longest < first
    {
        let message = "`max_backoff` is shorter than `backoff`".to_owned();
        let hint = Some("the waits grow from `backoff` to `max_backoff`".to_owned());
        fields.report(fields.key_span("max_backoff"), code::OUT_OF_RANGE, message, hint);
    }
    let backoff = backoff.flatten().unwrap_or(RetryPolicy::BACKOFF_DEFAULT);
    let longest: Duration =
        backoff_max.flatten().unwrap_or(RetryPolicy::BACKOFF_MAX_DEFAULT.max(backoff));
    // With `max_backoff` alone, the first wait is no longer than it.
    Some(RetryPolicy {
        max: u32::try_from(max?).unwrap_or(u32::MAX),
        backoff: backoff.min(longest),
        backoff_max: longest,
    })
}
