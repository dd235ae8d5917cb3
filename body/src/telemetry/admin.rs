//! Answers of a body about its telemetry: the spans in its memory, and the filter of its log.

use std::{sync::Arc, time::Duration};

use bus_nats::Nats;
use cbs::{CellError, Code, Span, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    log::Log,
    memory::{BYTES_MAX, SPANS_MAX},
    spans::Spans,
};

/// Admin request for the spans of a trace or a request.
pub(crate) const ASK_TRACE: &str = "trace";
/// Admin request for the filter of the log, or for a change of it.
pub(crate) const ASK_LOG: &str = "log";
/// Limit of the bytes that an answer has besides its spans.
const ENVELOPE_BYTES_MAX: usize = 4 * 1024;
/// Limit of the number of filter changes that wait to be undone.
const WAITING_MAX: usize = 64;

/// Answer of a body about a trace.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TraceReport {
    /// Spans that fit into the answer, the oldest first.
    pub(crate) spans: Vec<Span>,
    /// Number of spans that did not fit.
    pub(crate) left_out: usize,
    pub(crate) kept: SpanMemory,
}

/// Span memory of a body: how much it keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SpanMemory {
    pub(crate) spans: u64,
    pub(crate) bytes: u64,
    pub(crate) spans_max: usize,
    pub(crate) bytes_max: usize,
    /// Time at which the oldest span began, in milliseconds since 1970; `None` if there is no span.
    pub(crate) since_ms: Option<u64>,
    /// Share of traces that are recorded completely.
    pub(crate) ratio: f64,
}

/// Answer of a body about its log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Filtered {
    /// Filter that is used now.
    pub(crate) filter: String,
    /// Filter before the change, if it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) was: Option<String>,
}

/// Answers requests about spans.
pub(super) fn answer_trace(nats: &Nats, spans: Option<Arc<Spans>>) {
    let bytes_max = nats.server().max_payload.saturating_sub(ENVELOPE_BYTES_MAX);
    nats.on_admin_request(ASK_TRACE, move |question| {
        let reported = spans.as_ref().map_or_else(
            || {
                Err(CellError::new(
                    Code::Unavailable,
                    "this body records nothing: its telemetry is off",
                ))
            },
            |spans| trace(spans, &question, bytes_max),
        );
        std::future::ready(reported)
    });
}

fn trace(spans: &Spans, question: &Value, bytes_max: usize) -> Result<Value, CellError> {
    let id = question.get("id").and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok());
    let id = id.ok_or_else(|| {
        CellError::bad_request("the admin request has no `id` of 32 hexadecimal digits")
    })?;
    let memory = spans.memory();
    let mut found = memory.trace(id.into_bytes());
    if found.is_empty() {
        found = memory.request(id);
    }
    found.sort_by_key(|span| span.began_ns);
    let mut taken = Vec::new();
    let mut left_out = 0;
    let mut bytes = 0;
    for span in found {
        let value = serde_json::to_value(&*span)
            .map_err(|error| CellError::new(Code::Internal, error.to_string()))?;
        bytes += value.to_string().len() + 1;
        if bytes > bytes_max {
            left_out += 1;
        } else {
            taken.push(value);
        }
    }
    Ok(json!({ "spans": taken, "left_out": left_out, "kept": kept(spans) }))
}

fn kept(spans: &Spans) -> SpanMemory {
    let counters = spans.counters();
    SpanMemory {
        spans: counters.spans_kept(),
        bytes: counters.spans_kept_bytes(),
        spans_max: SPANS_MAX,
        bytes_max: BYTES_MAX,
        since_ms: spans.memory().oldest_ns().map(|ns| ns / 1_000_000),
        ratio: spans.ratio(),
    }
}

/// Answers requests about the log. Changes for a limited time are undone later by tasks in `tasks`.
pub(super) fn answer_log(nats: &Nats, log: Log, tasks: TaskTracker, stop: CancellationToken) {
    nats.on_admin_request(ASK_LOG, move |question| {
        std::future::ready(change(&log, &question, &tasks, &stop))
    });
}

fn change(
    log: &Log,
    question: &Value,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Value, CellError> {
    let Some(filter) = question.get("filter").and_then(Value::as_str) else {
        return Ok(json!(Filtered { filter: log.filter(), was: None }));
    };
    let back_in = question.get("for_ms").and_then(Value::as_u64).map(Duration::from_millis);
    if back_in.is_some() && tasks.len() >= WAITING_MAX {
        return Err(CellError::new(
            Code::Overloaded,
            format!("{WAITING_MAX} changes wait to be taken back already"),
        ));
    }
    let (was, change) =
        log.set_filter(filter, back_in.is_none()).map_err(CellError::bad_request)?;
    tracing::info!(target: "cbs::log", "the filter of the log is `{filter}` now; it was `{was}`");
    if let Some(back_in) = back_in {
        let (log, stop) = (log.clone(), stop.clone());
        tasks.spawn(async move {
            let passed = async {
                tokio::time::sleep(back_in).await;
                log.restore(change);
            };
            stop.run_until_cancelled(passed).await;
        });
    }
    Ok(json!(Filtered { filter: filter.to_owned(), was: Some(was) }))
}
