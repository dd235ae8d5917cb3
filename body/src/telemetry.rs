//! What a body tells of its calls, and of itself: spans in memory and to an OTLP receiver, and the log.
//!
//! Nothing of it ever holds up a call: queues are bounded, and what finds no room is counted.
//!
//! - `log`: lines on standard error; `CBS_LOG` filters them, `cbs log-level` while the body runs.
//! - `spans`: the recorder of calls. `memory`: what it keeps, 8,192 spans and 16 MiB.
//! - `otlp`: spans and lines on their way to a receiver.
//! - `questions`: what `cbs trace` and `cbs log-level` ask. `counters`: what is counted of all this.
//! - `flags`: the flags, and the variables:
//!
//! | variable | what it says | default |
//! |---|---|---|
//! | `CBS_LOG` | the filter of the log | `info` of `up` and `dev`, else `warn` |
//! | `CBS_TELEMETRY` | `off`: calls are neither recorded nor timed | `on` |
//! | `CBS_TRACE_RATIO` | the share of traces that are recorded whole | 0.01; 1 of `dev` and `demo` |
//! | `CBS_TRACE_SLOW` | what takes longer is always recorded, as what fails | `1s` |
//! | `CBS_OTLP_LOGS` | `1`: lines of the log are sent, too | off |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_TRACES_ENDPOINT`, `…_LOGS_ENDPOINT` | the receiver, gRPC | none |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `…_TRACES_HEADERS`, `…_LOGS_HEADERS` | what each request carries | none |
//! | `OTEL_TRACES_EXPORTER` | `none`: no spans are sent | |
//! | `OTEL_LOGS_EXPORTER` | `otlp`: lines are sent | |
//! | `OTEL_SDK_DISABLED` | `true`: nothing is sent | |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | what the receiver is told of the body | `cbs` |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | as `CBS_TRACE_RATIO`, which counts more | |

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

/// The telemetry of one body that runs.
pub(crate) struct Telemetry {
    spans: Option<Arc<Spans>>,
    exporter: Exporter,
    log: Log,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Telemetry {
    /// Starts what is wanted, with this share of traces where nothing says otherwise. Needs a runtime.
    ///
    /// # Errors
    /// Usage, for an OTLP receiver whose address or headers are none.
    pub(crate) fn start(
        flags: &Flags,
        ratio_default: f64,
        log: &Log,
        status: &BodyStatus,
    ) -> Result<Arc<Self>, Failure> {
        let wanted = flags.wanted(ratio_default)?;
        let counters = log.counters();
        let exporter = Exporter::new(otlp::resource(status.namespace.as_str(), status.body.as_str()), counters.clone());
        let queue = wanted.traces.as_ref().map(|endpoint| exporter.spans(endpoint));
        if let Some(endpoint) = &wanted.logs {
            log.export(exporter.logs(endpoint));
        }
        let spans = wanted.on.then(|| Arc::new(Spans::new(wanted.ratio, wanted.slow, queue, counters.clone())));
        if let Some(spans) = &spans {
            let exemplars = Exemplars::new(status.registry().clone());
            spans.watch(Box::new(move |span| exemplars.note(span)));
        }
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Ok(Arc::new(Self { spans, exporter, log: log.clone(), tasks, stop }))
    }

    /// What takes the spans of calls; `None`: nobody does.
    pub(crate) fn span_sink(&self) -> Option<Arc<dyn SpanSink>> {
        self.spans.clone().map(|spans| spans as Arc<dyn SpanSink>)
    }

    /// What telemetry counts of itself.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        self.log.counters()
    }

    /// Answers those who ask this body about its spans and its log.
    pub(crate) fn answer(&self, nats: &Nats) {
        admin::answer_trace(nats, self.spans.clone());
        admin::answer_log(nats, self.log.clone(), self.tasks.clone(), self.stop.clone());
    }

    /// Sends what waits to be sent, for two seconds at the most, and ends.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.exporter.stop().await;
    }
}
