//! The requests of a process to its body: calls, events, lines, questions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cbs::{
    BoxFuture, BusError, Bytes, CellContext, CellEnv, CellError, Code, Envelope, Kind, Source,
    TIMEOUT_DEFAULT, Uuid, frame,
};
use sidecar::{Hold, Inbound, Notice, Peer, log, proto};
use tokio::sync::{mpsc, oneshot};

use crate::{Settings, heartbeat::Heartbeat, rate::Meter};

/// Limit of the time for a question that belongs to no call: a question of the start hook.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);
/// Least size of a frame that prints, in bytes.
const PRINT_BYTES_MIN: u64 = 6;

/// Handler of the requests, lines and questions that one process sends.
pub(crate) struct InboundHandler {
    env: Arc<CellEnv>,
    source: Source,
    heartbeat: Arc<Heartbeat>,
    printer: Printer,
    /// Limit of the lines of its log that are written. The number of lines left out is reported
    /// with its pongs.
    lines: Meter,
    lines_per_second: u32,
}

impl InboundHandler {
    /// Returns a handler, and the work of its printer, which the caller must run beside it.
    pub(crate) fn new(
        env: Arc<CellEnv>,
        heartbeat: Arc<Heartbeat>,
        settings: &Settings,
    ) -> (Arc<Self>, impl Future<Output = ()> + use<>) {
        let source = Source {
            body: env.body.as_str().into(),
            cell: env.target.to_string().into(),
            revision: env.revision.clone(),
        };
        let (printer, printing) = Printer::new(env.clone(), settings.credit);
        let lines = Meter::new(settings.lines_per_second, settings.lines_burst);
        let lines_per_second = settings.lines_per_second;
        (Arc::new(Self { env, source, heartbeat, printer, lines, lines_per_second }), printing)
    }

    /// Waits until all lines that the process has printed so far are written.
    pub(crate) async fn printed(&self) {
        self.printer.flush().await;
    }

    /// Completes the envelope that the process wants to send, with the fields that follow from the
    /// request that it is handling.
    fn complete(&self, bytes: Bytes, context: Option<&CellContext>) -> Result<Envelope, BusError> {
        let wrong = |what: &dyn std::fmt::Display| {
            BusError::bad_request(format!("what the process sent: {what}"))
        };
        let asked = frame::decode(bytes).map_err(|error| wrong(&error))?;
        if !matches!(asked.kind, Kind::Request | Kind::Event) {
            return Err(wrong(&"neither a request nor an event"));
        }
        let target = asked.target()?.clone();
        let id = if asked.id.is_nil() { Uuid::now_v7() } else { asked.id };
        let Some(context) = context else {
            return Ok(Envelope { id, source: self.source.clone(), ..asked });
        };
        let base = context.request(target, asked.payload);
        let remaining = base.timeout.unwrap_or(TIMEOUT_DEFAULT);
        Ok(Envelope {
            kind: asked.kind,
            id,
            attempt: asked.attempt,
            schema: asked.schema,
            content_type: asked.content_type,
            time_ms: asked.time_ms,
            timeout: Some(asked.timeout.map_or(remaining, |timeout| timeout.min(remaining))),
            // Within one trace the body knows the position better: an attempt by the body is a span
            // of its own.
            foreign_trace: match (asked.foreign_trace, base.foreign_trace) {
                (Some(asked), Some(base)) if asked.trace_id == base.trace_id => Some(base),
                (asked, base) => asked.or(base),
            },
            tracestate: if asked.tracestate.is_empty() {
                base.tracestate
            } else {
                asked.tracestate
            },
            idempotency_key: asked.idempotency_key,
            attributes: asked.attributes,
            ..base
        })
    }

    /// Logs how many lines of the process's log were left out, if there were any.
    fn tell_left_out(&self) {
        let left_out = self.lines.left_out();
        let cell = self.env.target.name();
        if left_out > 0 {
            // This is not logged as a line of the cell: the cell's share of the log is used up.
            tracing::warn!(
                target: "cbs::log", %cell, dropped = left_out,
                "{left_out} lines of the process's log were left out: more than {} a second", self.lines_per_second
            );
        }
    }

    fn log(&self, line: &proto::Log, context: Option<&CellContext>) {
        // A line that the body's log does not show does not count against the limit.
        if log::is_shown(line.level()) && self.lines.admit() {
            log::write(line, self.env.target.name(), context);
        }
    }
}

impl Drop for InboundHandler {
    fn drop(&mut self) {
        // The process may have ended before its next pong.
        self.tell_left_out();
    }
}

impl Inbound for InboundHandler {
    fn request(
        &self,
        _: &Arc<Peer>,
        request: proto::Request,
        context: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes> {
        let env = self.env.clone();
        let asked = self.complete(request.envelope, context.as_deref());
        Box::pin(async move {
            let answer = match asked {
                Ok(event) if event.kind == Kind::Event => publish(&env, event).await,
                Ok(request) => env.bus.call(request).await,
                Err(error) => Err(error),
            };
            frame::encode(&answer.unwrap_or_else(Envelope::error))
        })
    }

    fn ask(
        &self,
        _: &Arc<Peer>,
        ask: proto::Ask,
        context: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes> {
        let env = self.env.clone();
        let limit = context.map_or(ASK_TIMEOUT, |context| context.remaining());
        Box::pin(async move {
            let answer = match tokio::time::timeout(limit, env.console.ask(ask.question)).await {
                Ok(answer) => answer.and_then(|answer| cbs::to_json(&answer)),
                Err(_) => {
                    Err(CellError::new(Code::Timeout, "nobody answered the question in time"))
                }
            };
            answer.unwrap_or_else(|error| frame::encode(&Envelope::error(error.into())))
        })
    }

    fn notify(&self, _: &Arc<Peer>, notice: Notice, hold: Hold) {
        match notice {
            Notice::Ready => self.heartbeat.ready.notify_one(),
            Notice::Pong(pong) => {
                self.heartbeat.pong(&pong);
                self.tell_left_out();
            }
            Notice::Print(print, _) => self.printer.print(print.line, hold),
            Notice::Log(log, context) => self.log(&log, context.as_deref()),
            Notice::Note(note, Some(context)) => {
                context.span_entries().count_dropped(note.dropped);
                note.notes().for_each(|note| context.span_entries().add(note));
            }
            // All other notices are for the sidecar's side.
            _ => {}
        }
    }
}

/// Publishes an event within the time that the event has.
async fn publish(env: &CellEnv, event: Envelope) -> Result<Envelope, BusError> {
    let limit = event.timeout.unwrap_or(TIMEOUT_DEFAULT);
    let target = event.target()?.clone();
    match tokio::time::timeout(limit, env.bus.publish(event)).await {
        Ok(published) => published.map(|()| Envelope::reply(Bytes::new())),
        Err(_) => Err(BusError::timeout(&target, limit)),
    }
}

/// Printer of one line after the other. A terminal that does not take the lines delays only the
/// process that prints, because its credit does not come back.
struct Printer {
    lines: mpsc::Sender<Line>,
    waiting: Arc<AtomicUsize>,
}

enum Line {
    Print(String, Hold),
    Flush(oneshot::Sender<()>),
}

impl Printer {
    fn new(env: Arc<CellEnv>, credit: u64) -> (Self, impl Future<Output = ()>) {
        // As many lines as the process can send on its credit: the queue is bounded, and never
        // full.
        let capacity =
            usize::try_from(credit / PRINT_BYTES_MIN).unwrap_or(usize::MAX).saturating_add(64);
        let (lines, mut queue) = mpsc::channel(capacity.min(tokio::sync::Semaphore::MAX_PERMITS));
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = waiting.clone();
        let printing = async move {
            while let Some(line) = queue.recv().await {
                match line {
                    Line::Print(line, hold) => {
                        if let Err(error) = env.console.print(line).await {
                            tracing::warn!(target: "cbs::cell", cell = %env.target.name(), "a line was not printed: {error}");
                        }
                        left.fetch_sub(1, Ordering::Release);
                        drop(hold);
                    }
                    // The waiting call may have given up.
                    Line::Flush(done) => drop(done.send(())),
                }
            }
        };
        (Self { lines, waiting }, printing)
    }

    fn print(&self, line: String, hold: Hold) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.lines.try_send(Line::Print(line, hold)).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            tracing::error!(target: "cbs::cell", "a line was not printed: too many wait");
        }
    }

    async fn flush(&self) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let (done, printed) = oneshot::channel();
        if self.lines.send(Line::Flush(done)).await.is_ok() {
            // The printer ends with its process.
            let _ = printed.await;
        }
    }
}
