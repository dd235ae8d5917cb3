//! Context of a call: a cell's access to other cells, its time and its log.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    BodyBus, BodyId, BoxFuture, BusError, CellError, Code, Envelope, Source, SpanEntries,
    SpanEntry, SpanSink, TIMEOUT_DEFAULT, Target, Text, Topic, Trace, Transport, now_ns, span_of,
    span_of_attempt,
    typed::{exact_from_json, written},
};

/// The terminal of the program that hosts the cell.
pub trait Console: Send + Sync + 'static {
    /// Writes one line to the program's standard output.
    fn print(&self, line: String) -> BoxFuture<'_, Result<(), CellError>>;

    /// Asks the person at the program a question. `None` where nobody can be asked: in a body
    /// that serves, standard input is never read.
    fn ask(&self, question: String) -> BoxFuture<'_, Result<Option<String>, CellError>>;
}

/// Environment of a cell: made once when the cell is started, shared by all of its calls.
#[derive(Clone)]
pub struct CellEnv {
    /// Bus through which the cell calls others.
    pub bus: Arc<dyn BodyBus>,
    /// The terminal of the body's program.
    pub console: Arc<dyn Console>,
    /// The cell (or flow) itself.
    pub target: Target,
    /// The body.
    pub body: BodyId,
    /// The revision of the cell's spec.
    pub revision: Text,
    /// The spec's `config`: a map that only the cell understands.
    pub config: serde_json::Value,
    /// Language that the cell is written in, for example `rust`; empty: not reported.
    pub language: Text,
    /// Sink that takes the spans of the cell's calls and times them; `None`: no spans are recorded.
    pub span_sink: Option<Arc<dyn SpanSink>>,
    /// The most bytes that a reply of the cell may have as a frame.
    pub reply_max: usize,
    source: Source,
}

impl CellEnv {
    /// Returns the environment of a cell.
    pub fn new(
        target: Target,
        body: BodyId,
        bus: Arc<dyn BodyBus>,
        console: Arc<dyn Console>,
    ) -> Self {
        let source = Source {
            body: body.as_str().into(),
            cell: target.to_string().into(),
            revision: Text::default(),
        };
        Self {
            bus,
            console,
            target,
            body,
            revision: Text::default(),
            config: serde_json::Value::Null,
            language: Text::default(),
            span_sink: None,
            reply_max: usize::MAX,
            source,
        }
    }

    /// Returns the same environment with the revision and the config of the cell's spec.
    #[must_use]
    pub fn with_spec(mut self, revision: Text, config: serde_json::Value) -> Self {
        self.source.revision = revision.clone();
        Self { revision, config, ..self }
    }

    /// Returns the same environment with a sink for spans.
    #[must_use]
    pub fn with_span_sink(self, span_sink: Option<Arc<dyn SpanSink>>) -> Self {
        Self { span_sink, ..self }
    }

    /// Returns the same environment on a bus that carries replies of at most this number of bytes.
    #[must_use]
    pub fn with_reply_max(self, reply_max: usize) -> Self {
        Self { reply_max, ..self }
    }

    /// The cell itself as the source of what it sends.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }
}

/// One call as its cell sees it. What the cell sends through it carries correlation,
/// causation, trace and the remaining time by itself.
///
/// ```
/// # use cbs::{CellContext, CellError};
/// # #[derive(serde::Serialize)] struct Order { id: u32 }
/// async fn place(context: &CellContext, order: u32) -> Result<bool, CellError> {
///     let order = Order { id: order };
///     let free: bool = context.call("stock.reserve", &order).await?;
///     context.publish("order.placed", &order).await?;
///     context.log().info(format_args!("order {} placed, {:?} left", order.id, context.remaining()));
///     Ok(free)
/// }
/// # let _ = cbs::cell("shop.place", place);
/// ```
pub struct CellContext {
    env: Arc<CellEnv>,
    id: Uuid,
    correlation_id: Uuid,
    attempt: u32,
    caller: Source,
    foreign_trace: Option<Trace>,
    tracestate: Text,
    deadline: Instant,
    parent: Option<[u8; 8]>,
    via: Transport,
    span_entries: SpanEntries,
}

impl CellContext {
    /// The context of a request that arrived now.
    #[must_use]
    pub fn new(env: Arc<CellEnv>, request: &Envelope) -> Self {
        let timeout = request.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let now = Instant::now();
        Self {
            env,
            id: request.id,
            correlation_id: request.correlation(),
            attempt: request.attempt,
            caller: request.source.clone(),
            foreign_trace: request.foreign_trace,
            tracestate: request.tracestate.clone(),
            // A timeout beyond what a clock can hold is as good as a day.
            deadline: now.checked_add(timeout).unwrap_or(now + Duration::from_secs(86_400)),
            parent: request
                .foreign_trace
                .map(|trace| trace.span_id)
                .or_else(|| request.causation_id.map(span_of)),
            via: request.via,
            span_entries: SpanEntries::default(),
        }
    }

    /// Returns the context of a request that arrived now. If its trace begins here and the
    /// environment's span sink samples it, the trace is recorded with all that follows from it, and
    /// the request is marked as sampled too.
    #[must_use]
    pub fn sampled(env: Arc<CellEnv>, request: &mut Envelope) -> Self {
        let mut context = Self::new(env, request);
        if let (None, None, Some(span_sink)) =
            (request.foreign_trace, request.causation_id, &context.env.span_sink)
            && span_sink.samples(context.correlation_id.into_bytes())
        {
            let trace = context.trace().sampled();
            context.foreign_trace = Some(trace);
            request.foreign_trace = Some(trace);
        }
        context
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Id of the first request of the chain of calls that this one belongs to.
    #[must_use]
    pub fn correlation_id(&self) -> Uuid {
        self.correlation_id
    }

    /// 1 for the first attempt of the call, one more for each retry: as traces count. (In an
    /// envelope it is 0.)
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.saturating_add(1)
    }

    /// Source that made the call: a claim for diagnosis, never authority.
    #[must_use]
    pub fn caller(&self) -> &Source {
        &self.caller
    }

    /// Environment of the cell: its body, its revision, its config.
    #[must_use]
    pub fn env(&self) -> &CellEnv {
        &self.env
    }

    /// Moment when the caller gives up.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Time until the caller gives up; zero when it has.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The position in the trace that this call's own requests carry.
    #[must_use]
    pub fn trace(&self) -> Trace {
        let span_id = span_of_attempt(self.id, self.attempt);
        match self.foreign_trace {
            Some(trace) => Trace { span_id, ..trace },
            None => Trace { trace_id: self.correlation_id.into_bytes(), span_id, flags: 0 },
        }
    }

    /// Span that this call is recorded as. The cell's author can add attributes and events to it.
    ///
    /// ```
    /// # fn about(context: &cbs::CellContext) {
    /// let span = context.span();
    /// span.attribute("order.id", "4711");
    /// span.event("cache miss", [("key", "orders/4711")]);
    /// # }
    /// ```
    #[must_use]
    pub fn span(&self) -> CurrentSpan<'_> {
        CurrentSpan(self)
    }

    /// The span that caused this call; `None` where it began its trace.
    #[must_use]
    pub fn parent(&self) -> Option<[u8; 8]> {
        self.parent
    }

    /// W3C tracestate, as it came.
    #[must_use]
    pub fn tracestate(&self) -> &Text {
        &self.tracestate
    }

    /// Transport that carried the request.
    #[must_use]
    pub fn via(&self) -> Transport {
        self.via
    }

    /// Attributes and events that the cell's author added to the span of this call.
    #[must_use]
    pub fn span_entries(&self) -> &SpanEntries {
        &self.span_entries
    }

    /// A request to another target, with this call's ids, trace and remaining time.
    pub fn request(&self, target: Target, payload: impl Into<Bytes>) -> Envelope {
        Envelope {
            timeout: Some(self.remaining()),
            ..self.inherit(Envelope::request(target, payload))
        }
    }

    /// Sends a request made by [`Self::request`], perhaps changed.
    ///
    /// # Errors
    /// The error of the bus or of the other cell.
    pub async fn send(&self, request: Envelope) -> Result<Envelope, BusError> {
        self.env.bus.call(request).await
    }

    /// Calls another cell with JSON and waits for its JSON.
    ///
    /// # Errors
    /// The other cell's error, or why it could not be reached; `bad-request` for a name that is
    /// none; `internal` for a reply that does not fit; `cell-failed` for an input that JSON cannot
    /// hold, for which the log has the reason.
    pub async fn call<I, O>(&self, cell: &str, input: &I) -> Result<O, CellError>
    where
        I: Serialize + Sync + ?Sized,
        O: DeserializeOwned,
    {
        let name = cell
            .parse()
            .map_err(|error: crate::NameError| CellError::bad_request(error.to_string()))?;
        let input = written(self, "input for another cell", input)?;
        let reply = self.send(self.request(Target::Cell(name), input)).await?;
        // The other cell is at fault, not the caller of this one.
        exact_from_json(&reply.payload).map_err(|error| {
            CellError::new(
                Code::Internal,
                format!("the reply of {cell} does not fit: {}", error.message),
            )
        })
    }

    /// Publishes an event as JSON.
    ///
    /// # Errors
    /// `unavailable` when the bus is down, `too-large`, `bad-request` for a topic that is none.
    pub async fn publish<E>(&self, topic: &str, event: &E) -> Result<(), CellError>
    where
        E: Serialize + Sync + ?Sized,
    {
        let topic = Topic::new(topic).map_err(|error| CellError::bad_request(error.to_string()))?;
        let event = self.inherit(Envelope::event(topic, written(self, "event", event)?));
        Ok(self.env.bus.publish(event).await?)
    }

    /// Prints one line to the standard output of the body's program.
    ///
    /// # Errors
    /// `internal` when it cannot be written.
    pub async fn print(&self, line: impl Into<String>) -> Result<(), CellError> {
        self.env.console.print(line.into()).await
    }

    /// Asks the person at the body's program. `None` where nobody can be asked.
    ///
    /// # Errors
    /// `internal` when the answer cannot be read.
    pub async fn ask(&self, question: impl Into<String>) -> Result<Option<String>, CellError> {
        self.env.console.ask(question.into()).await
    }

    /// Writes to the body's log, with this call's ids.
    #[must_use]
    pub fn log(&self) -> Log<'_> {
        Log(self)
    }

    /// Gives an envelope that is sent because of this call the call's ids, trace and source.
    /// [`Self::request`] is enough for most; this is for an envelope with an id of its own.
    #[must_use]
    pub fn inherit(&self, envelope: Envelope) -> Envelope {
        Envelope {
            correlation_id: Some(self.correlation_id),
            causation_id: Some(self.id),
            source: self.env.source.clone(),
            foreign_trace: self.foreign_trace.map(|_| self.trace()),
            tracestate: self.tracestate.clone(),
            ..envelope
        }
    }
}

/// Span of the call that a cell is handling. It is recorded with the call when the trace is
/// sampled, or when the call fails or is slow; else its entries are dropped.
#[derive(Clone, Copy)]
pub struct CurrentSpan<'a>(&'a CellContext);

impl CurrentSpan<'_> {
    /// True if the span is recorded however the call ends. Where it is false, a cell may leave out
    /// entries that are costly to make.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.0.foreign_trace.is_some_and(|trace| trace.is_sampled())
    }

    /// Adds an attribute: a fact about the call. A span keeps up to
    /// [`SPAN_ENTRIES_MAX`](crate::SPAN_ENTRIES_MAX) attributes and events, and of each text
    /// [`SPAN_ENTRY_BYTES_MAX`](crate::SPAN_ENTRY_BYTES_MAX) bytes.
    pub fn attribute(self, key: impl Into<Text>, value: impl Into<Text>) {
        self.0.span_entries.add(SpanEntry::Attribute { key: key.into(), value: value.into() });
    }

    /// Adds an event: something that happened now.
    pub fn event<K: Into<Text>, V: Into<Text>>(
        self,
        name: impl Into<Text>,
        attributes: impl IntoIterator<Item = (K, V)>,
    ) {
        let attributes =
            attributes.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        self.0.span_entries.add(SpanEntry::Event {
            name: name.into(),
            time_ns: now_ns(),
            attributes,
        });
    }
}

/// The body's log with a call's ids. Lines that the log's level leaves out cost a comparison.
#[derive(Clone, Copy)]
pub struct Log<'a>(&'a CellContext);

macro_rules! level {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(self, line: fmt::Arguments<'_>) {
            let context = self.0;
            tracing::$name!(
                target: "cbs::cell",
                cell = %context.env.target.name(),
                id = %context.id,
                correlation_id = %context.correlation_id,
                trace_id = %context.trace().id(),
                "{line}"
            );
        }
    };
}

impl Log<'_> {
    level!(
        /// Logs a problem that an operator must look at.
        error
    );
    level!(
        /// Logs a condition that may become an error.
        warn
    );
    level!(
        /// Logs an event that is worth a line in a normal run.
        info
    );
    level!(
        /// Logs a detail that helps to find a fault.
        debug
    );
}
