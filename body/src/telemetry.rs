//! Telemetry of a body and its calls: spans in memory and to an OTLP receiver, and the log.
//!
//! Telemetry never delays a call: queues are bounded, and items that do not fit are counted.
//!
//! - `log`: lines on standard error; `CBS_LOG` filters them, `cbs log-level` while the body runs.
//! - `spans`: the recorder of calls. `memory`: the recorded spans, up to 8,192 spans and 16 MiB.
//! - `otlp`: sends spans and lines to a receiver.
//! - `admin`: answers to `cbs trace` and `cbs log-level`. `counters`: the counters of all this.
//! - `flags`: the flags, and the variables:
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `CBS_LOG` | the filter of the log | `info` of `up` and `dev`, else `warn` |
//! | `CBS_TELEMETRY` | `off`: calls are neither recorded nor timed | `on` |
//! | `CBS_TRACE_RATIO` | share of traces that are recorded completely | 0.01; 1 of `dev` and `demo` |
//! | `CBS_TRACE_SLOW` | calls that take longer are always recorded, like failed calls | `1s` |
//! | `CBS_OTLP_LOGS` | `1`: log lines are sent too | off |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_TRACES_ENDPOINT`, `…_LOGS_ENDPOINT` | the receiver, gRPC | none |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `…_TRACES_HEADERS`, `…_LOGS_HEADERS` | the headers of each request | none |
//! | `OTEL_TRACES_EXPORTER` | `none`: no spans are sent | |
//! | `OTEL_LOGS_EXPORTER` | `otlp`: lines are sent | |
//! | `OTEL_SDK_DISABLED` | `true`: nothing is sent | |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | attributes of the body for the receiver | `cbs` |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | as `CBS_TRACE_RATIO`, which has priority | |

mod admin;
mod counters;
mod flags;
mod log;
mod memory;
mod otlp;
mod spans;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use bus_nats::Nats;
use cbs::SpanSink;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::otlp::Exporter;
pub(crate) use self::{
    admin::{ASK_LOG, ASK_TRACE, Filtered, SpanMemory, TraceReport},
    counters::Counters,
    flags::Flags,
    log::{Log, settle},
    spans::Spans,
};
use crate::{exit::Failure, health::BodyStatus, metrics::Exemplars};

/// Telemetry of one running body.
pub(crate) struct Telemetry {
    spans: Option<Arc<Spans>>,
    exporter: Exporter,
    log: Log,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Telemetry {
    /// Starts the telemetry that the flags and variables ask for. `ratio_default` is the share of
    /// traces if nothing else sets it. Needs a runtime.
    ///
    /// # Errors
    /// A usage error: the OTLP receiver's address or headers are invalid.
    pub(crate) fn start(
        flags: &Flags,
        ratio_default: f64,
        log: &Log,
        status: &BodyStatus,
    ) -> Result<Arc<Self>, Failure> {
        let wanted = flags.wanted(ratio_default)?;
        let counters = log.counters();
        let exporter = Exporter::new(
            otlp::resource(status.namespace.as_str(), status.body.as_str()),
            counters.clone(),
        );
        let queue = wanted.traces.as_ref().map(|endpoint| exporter.spans(endpoint));
        if let Some(endpoint) = &wanted.logs {
            log.export(exporter.logs(endpoint));
        }
        let spans = wanted
            .on
            .then(|| Arc::new(Spans::new(wanted.ratio, wanted.slow, queue, counters.clone())));
        if let Some(spans) = &spans {
            let exemplars = Exemplars::new(status.registry().clone());
            spans.watch(Box::new(move |span| exemplars.note(span)));
        }
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        Ok(Arc::new(Self { spans, exporter, log: log.clone(), tasks, stop }))
    }

    /// Returns the receiver of the spans of calls; `None` if there is none.
    pub(crate) fn span_sink(&self) -> Option<Arc<dyn SpanSink>> {
        self.spans.clone().map(|spans| spans as Arc<dyn SpanSink>)
    }

    /// Returns the counters of the telemetry itself.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        self.log.counters()
    }

    /// Answers requests about this body's spans and log.
    pub(crate) fn answer(&self, nats: &Nats) {
        admin::answer_trace(nats, self.spans.clone());
        admin::answer_log(nats, self.log.clone(), self.tasks.clone(), self.stop.clone());
    }

    /// Sends the waiting spans and lines, for at most two seconds, and ends.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.exporter.stop().await;
    }
}
