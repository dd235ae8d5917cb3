//! Task that sends one signal: it makes batches, tries again, logs outages, and ends in time.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use cbs::Span;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
    logs::v1::{ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans},
};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, transport::Channel};

use super::{
    super::{
        counters::{Counters, Reason, Signal},
        log::LogRecord,
    },
    END_LIMIT, Endpoint, TARGET,
    queue::{ExportQueue, Weighed},
    scope, span, words,
};

/// Limit of the number of items in one batch.
const BATCH_MAX: usize = 512;
/// Approximate limit of the bytes of one request, unless one item alone has more: receivers take 4
/// MiB by default.
const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Limit of the time that a batch waits to be full.
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// Limit of the time that the receiver may take for one request.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);
/// Waits before a batch is sent again after an error that may pass.
const BACKOFF: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Sender of batches of one signal.
pub(super) trait Port: Send + 'static {
    type Item: Send + 'static;
    const SIGNAL: Signal;

    /// Returns the receiver's endpoint.
    fn endpoint(&self) -> &Endpoint;

    /// Sends a batch. Returns the number of its items that the receiver refused.
    fn send(
        &mut self,
        batch: &[Weighed<Self::Item>],
    ) -> impl Future<Output = Result<i64, Status>> + Send;
}

/// State of the task. It is a struct, so that the items that are lost at the end can still be
/// counted.
pub(super) struct Sending<P: Port> {
    port: P,
    waiting: ExportQueue<P::Item>,
    batch: Vec<Weighed<P::Item>>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    /// Set while the log says that the receiver takes nothing.
    outage: bool,
}

impl<P: Port> Sending<P> {
    pub(super) fn new(
        port: P,
        waiting: ExportQueue<P::Item>,
        counters: Arc<Counters>,
        stop: CancellationToken,
    ) -> Self {
        Self { port, waiting, batch: Vec::new(), counters, stop, outage: false }
    }

    /// Sends until it is stopped. Then sends the waiting items while there is time.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        let limit = async {
            stop.cancelled().await;
            sleep(END_LIMIT).await;
        };
        tokio::select! {
            () = self.send_all() => {}
            () = limit => {}
        }
        let left = self.batch.len() + self.waiting.items.len();
        self.counters.count_dropped(P::SIGNAL, Reason::Stopped, left);
    }

    async fn send_all(&mut self) {
        while self.fill().await {
            while !self.batch.is_empty() {
                self.send_some().await;
            }
        }
    }

    /// Sends as much of the batch as one request takes.
    async fn send_some(&mut self) {
        let mut bytes_left = REQUEST_BYTES_MAX;
        let fits = |weighed: &&Weighed<P::Item>| {
            let fits = weighed.size <= bytes_left;
            bytes_left = bytes_left.saturating_sub(weighed.size);
            fits
        };
        let count = self.batch.iter().take_while(fits).count().max(1);
        let sent = self.send_with_patience(count).await;
        let bytes = self.batch.drain(..count).map(|weighed| weighed.size).sum();
        self.waiting.done(bytes);
        match sent {
            Ok(refused) => {
                let refused = usize::try_from(refused).unwrap_or(0).min(count);
                self.counters.count_exported(P::SIGNAL, count - refused);
                self.counters.count_dropped(P::SIGNAL, Reason::Refused, refused);
            }
            Err(status) if may_pass(&status) => {
                self.counters.count_dropped(P::SIGNAL, Reason::Failed, count);
            }
            Err(_) => self.counters.count_dropped(P::SIGNAL, Reason::Refused, count),
        }
    }

    /// Fills the batch. Returns false if no more items will come.
    async fn fill(&mut self) -> bool {
        let Self { waiting, batch, stop, .. } = self;
        tokio::select! {
            biased;
            count = waiting.items.recv_many(batch, BATCH_MAX) => if count == 0 { return false },
            () = stop.cancelled() => {}
        }
        let until = Instant::now() + BATCH_WAIT;
        while batch.len() < BATCH_MAX && !stop.is_cancelled() {
            let more = waiting.items.recv_many(batch, BATCH_MAX - batch.len());
            tokio::select! {
                more = timeout_at(until, more) => if !matches!(more, Ok(1..)) { break },
                () = stop.cancelled() => {}
            }
        }
        // Stopped: the items that wait now are the last ones.
        while batch.len() < BATCH_MAX
            && let Ok(item) = waiting.items.try_recv()
        {
            batch.push(item);
        }
        !batch.is_empty()
    }

    async fn send_with_patience(&mut self, count: usize) -> Result<i64, Status> {
        let mut waits = BACKOFF.iter();
        loop {
            let some = self.batch.get(..count).unwrap_or_default();
            let late = |_| Err(Status::deadline_exceeded("no answer"));
            let sent = timeout(EXPORT_LIMIT, self.port.send(some)).await.unwrap_or_else(late);
            self.report(&sent);
            match (&sent, waits.next()) {
                (Err(status), Some(wait)) if may_pass(status) && !self.stop.is_cancelled() => {
                    // If it is stopped in the meantime, it tries once more at once.
                    drop(timeout(*wait, self.stop.cancelled()).await);
                }
                _ => return sent,
            }
        }
    }

    /// Logs one line when an outage begins, and one when it ends.
    fn report(&mut self, sent: &Result<i64, Status>) {
        let endpoint = self.port.endpoint();
        match sent {
            Err(status) if !self.outage => {
                let code = status.code();
                let message = words(status.message());
                tracing::warn!(target: TARGET, %endpoint, "the OTLP receiver takes no {}: {code}: {message}", Name(P::SIGNAL));
                self.outage = true;
            }
            Ok(_) if self.outage => {
                tracing::info!(target: TARGET, %endpoint, "the OTLP receiver takes {} again", Name(P::SIGNAL));
                self.outage = false;
            }
            _ => {}
        }
    }
}

/// Type of the detail with which a receiver asks for another attempt.
const RETRY_INFO: &[u8] = b"google.rpc.RetryInfo";

struct Name(Signal);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Signal::Traces => "spans",
            Signal::Logs => "lines of the log",
        })
    }
}

/// Returns true if a failure is worth another attempt:
/// <https://opentelemetry.io/docs/specs/otlp/#failures>. A connection that cannot be built is
/// `Unavailable` or `Unknown` in tonic.
fn may_pass(status: &Status) -> bool {
    if status.code() == Code::ResourceExhausted {
        // Temporary if the receiver says when to try again; otherwise the batch is too large for
        // ever.
        return status.details().windows(RETRY_INFO.len()).any(|part| part == RETRY_INFO);
    }
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unknown
    )
}

/// Sender of spans.
pub(super) struct SpanPort {
    client: TraceServiceClient<Channel>,
    endpoint: Endpoint,
    resource: Resource,
}

impl SpanPort {
    pub(super) fn new(endpoint: &Endpoint, resource: Resource) -> Self {
        Self {
            client: TraceServiceClient::new(endpoint.channel()),
            endpoint: endpoint.clone(),
            resource,
        }
    }
}

impl Port for SpanPort {
    type Item = Arc<Span>;
    const SIGNAL: Signal = Signal::Traces;

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn send(&mut self, batch: &[Weighed<Arc<Span>>]) -> Result<i64, Status> {
        let spans = batch.iter().map(|weighed| span::write(&weighed.item)).collect();
        let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
        let resource = Some(self.resource.clone());
        let resource_spans =
            vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
        let mut request = Request::new(ExportTraceServiceRequest { resource_spans });
        self.endpoint.add_headers(request.metadata_mut());
        let answer = self.client.export(request).await?.into_inner();
        Ok(answer.partial_success.map_or(0, |partial| partial.rejected_spans))
    }
}

/// Sender of log lines.
pub(super) struct LogPort {
    client: LogsServiceClient<Channel>,
    endpoint: Endpoint,
    resource: Resource,
}

impl LogPort {
    pub(super) fn new(endpoint: &Endpoint, resource: Resource) -> Self {
        Self {
            client: LogsServiceClient::new(endpoint.channel()),
            endpoint: endpoint.clone(),
            resource,
        }
    }
}

impl Port for LogPort {
    type Item = LogRecord;
    const SIGNAL: Signal = Signal::Logs;

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn send(&mut self, batch: &[Weighed<LogRecord>]) -> Result<i64, Status> {
        let log_records = batch.iter().map(|weighed| weighed.item.clone()).collect();
        let scope_logs =
            vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
        let resource = Some(self.resource.clone());
        let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
        let mut request = Request::new(ExportLogsServiceRequest { resource_logs });
        self.endpoint.add_headers(request.metadata_mut());
        let answer = self.client.export(request).await?.into_inner();
        Ok(answer.partial_success.map_or(0, |partial| partial.rejected_log_records))
    }
}
