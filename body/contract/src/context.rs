//! What a cell is given with each call: its way to other cells, its time, its log.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    BodyBus, BodyId, BoxFuture, BusError, CellError, Envelope, Source, TIMEOUT_DEFAULT, Target, Text, Topic, Trace,
    from_json, span_of, to_json,
};

/// The terminal of the program that hosts the cell.
pub trait Console: Send + Sync + 'static {
    /// Writes one line to the program's standard output.
    fn print(&self, line: String) -> BoxFuture<'_, Result<(), CellError>>;

    /// Asks the person at the program a question. `None` where nobody can be asked: in a body
    /// that serves, standard input is never read.
    fn ask(&self, question: String) -> BoxFuture<'_, Result<Option<String>, CellError>>;
}

/// Where a cell lives: made once when it is started, shared by all of its calls.
#[derive(Clone)]
pub struct Home {
    /// What the cell calls others through.
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
    source: Source,
}

impl Home {
    /// A home for a cell.
    pub fn new(target: Target, body: BodyId, bus: Arc<dyn BodyBus>, console: Arc<dyn Console>) -> Self {
        let source = Source { body: body.as_str().into(), cell: target.to_string().into(), revision: Text::default() };
        Self { bus, console, target, body, revision: Text::default(), config: serde_json::Value::Null, source }
    }

    /// The same home with the revision and the config of the cell's spec.
    #[must_use]
    pub fn with_spec(mut self, revision: Text, config: serde_json::Value) -> Self {
        self.source.revision = revision.clone();
        Self { revision, config, ..self }
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
    home: Arc<Home>,
    id: Uuid,
    correlation_id: Uuid,
    attempt: u32,
    caller: Source,
    foreign_trace: Option<Trace>,
    tracestate: Text,
    deadline: Instant,
}

impl CellContext {
    /// The context of a request that arrived now.
    #[must_use]
    pub fn new(home: Arc<Home>, request: &Envelope) -> Self {
        let timeout = request.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let now = Instant::now();
        Self {
            home,
            id: request.id,
            correlation_id: request.correlation(),
            attempt: request.attempt,
            caller: request.source.clone(),
            foreign_trace: request.foreign_trace,
            tracestate: request.tracestate.clone(),
            // A timeout beyond what a clock can hold is as good as a day.
            deadline: now.checked_add(timeout).unwrap_or(now + Duration::from_secs(86_400)),
        }
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The id of the request that began it all.
    #[must_use]
    pub fn correlation_id(&self) -> Uuid {
        self.correlation_id
    }

    /// 0 for the first attempt of the call, one more for each retry.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Who made the call: a claim for diagnosis, never authority.
    #[must_use]
    pub fn caller(&self) -> &Source {
        &self.caller
    }

    /// Where the cell lives: its body, its revision, its config.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// When the caller gives up.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long until the caller gives up; zero when it has.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The position in the trace that this call's own requests carry.
    #[must_use]
    pub fn trace(&self) -> Trace {
        let span_id = span_of(self.id);
        match self.foreign_trace {
            Some(trace) => Trace { span_id, ..trace },
            None => Trace { trace_id: self.correlation_id.into_bytes(), span_id, flags: 0 },
        }
    }

    /// A request to another target, with this call's ids, trace and remaining time.
    pub fn request(&self, target: Target, payload: impl Into<Bytes>) -> Envelope {
        Envelope { timeout: Some(self.remaining()), ..self.inherit(Envelope::request(target, payload)) }
    }

    /// Sends a request made by [`Self::request`], perhaps changed.
    ///
    /// # Errors
    /// Whatever the bus or the other cell answers.
    pub async fn send(&self, request: Envelope) -> Result<Envelope, BusError> {
        self.home.bus.call(request).await
    }

    /// Calls another cell with JSON and waits for its JSON.
    ///
    /// # Errors
    /// The other cell's error, or why it could not be reached; `bad-request` for a name that is none.
    pub async fn call<I, O>(&self, cell: &str, input: &I) -> Result<O, CellError>
    where
        I: Serialize + Sync + ?Sized,
        O: DeserializeOwned,
    {
        let name = cell.parse().map_err(|error: crate::NameError| CellError::bad_request(error.to_string()))?;
        let reply = self.send(self.request(Target::Cell(name), to_json(input)?)).await?;
        from_json(&reply.payload)
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
        let event = self.inherit(Envelope::event(topic, to_json(event)?));
        Ok(self.home.bus.publish(event).await?)
    }

    /// Prints one line to the standard output of the body's program.
    ///
    /// # Errors
    /// `internal` when it cannot be written.
    pub async fn print(&self, line: impl Into<String>) -> Result<(), CellError> {
        self.home.console.print(line.into()).await
    }

    /// Asks the person at the body's program. `None` where nobody can be asked.
    ///
    /// # Errors
    /// `internal` when the answer cannot be read.
    pub async fn ask(&self, question: impl Into<String>) -> Result<Option<String>, CellError> {
        self.home.console.ask(question.into()).await
    }

    /// Writes to the body's log, with this call's ids.
    #[must_use]
    pub fn log(&self) -> Log<'_> {
        Log(self)
    }

    fn inherit(&self, envelope: Envelope) -> Envelope {
        Envelope {
            correlation_id: Some(self.correlation_id),
            causation_id: Some(self.id),
            source: self.home.source.clone(),
            foreign_trace: self.foreign_trace.map(|_| self.trace()),
            tracestate: self.tracestate.clone(),
            ..envelope
        }
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
                cell = %context.home.target.name(),
                id = %context.id,
                correlation_id = %context.correlation_id,
                "{line}"
            );
        }
    };
}

impl Log<'_> {
    level!(
        /// What an operator must look at.
        error
    );
    level!(
        /// What may become an error.
        warn
    );
    level!(
        /// What is worth a line in a normal run.
        info
    );
    level!(
        /// What helps to find a fault.
        debug
    );
}
