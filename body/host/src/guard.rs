//! Guard around the work of every handler of a body: limits, deadline, counters, panics. It is one
//! future, because four middlewares would need four allocations per call.

pub(crate) mod contain;
pub(crate) mod scope;
pub(crate) mod watchdog;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bus::{ConcurrencyLimit, Permit, within};
use cbs::{
    BoxFuture, BusError, CellContext, CellEnv, CellError, Code, Envelope, Handler, Kind, Outcome,
    Side, Span, Stats, TIMEOUT_DEFAULT, Target, Text,
};

use self::{
    contain::{Contained, Panic},
    scope::Label,
};
use crate::CallLimits;

/// Limit of the depth of calls within one body. Each call is polled inside its caller's poll, on
/// one stack, and a loop of calls would otherwise end the body.
const DEPTH_MAX: u32 = 32;

/// Work that a [`Guard`] protects.
pub(crate) trait Work: Send + Sync + 'static {
    /// Value that must exist as long as a call runs.
    type Lease: Send + Sync;

    /// Returns the environment of its calls.
    fn env(&self) -> &Arc<CellEnv>;

    /// Begins a call. Returns `None` if it cannot run now.
    fn lease(&self) -> Option<Self::Lease>;

    /// Answers a request whose timeout is set.
    fn run<'a>(
        &'a self,
        lease: &'a Self::Lease,
        context: &'a CellContext,
        request: Envelope,
    ) -> BoxFuture<'a, Result<Envelope, CellError>>;

    /// Checks that a request may run.
    fn check_input(&self, _request: &Envelope) -> Result<(), BusError> {
        Ok(())
    }

    /// Checks that a reply may be sent.
    fn check_output(&self, _context: &CellContext, _reply: &Envelope) -> Result<(), CellError> {
        Ok(())
    }
}

/// Work with its limits.
pub(crate) struct Guard<W> {
    pub(crate) work: W,
    pub(crate) target: Target,
    pub(crate) stats: Arc<Stats>,
    body: Text,
    /// Duration above which a call is recorded; `None`: calls are not recorded.
    slow: Option<Duration>,
    timeout: Duration,
    limit: ConcurrencyLimit,
    label: Label,
}

impl<W: Work> Guard<W> {
    pub(crate) fn new(target: Target, limits: CallLimits, work: W) -> Self {
        contain::install_hook();
        let stats = Arc::<Stats>::default();
        let limit = ConcurrencyLimit::new(limits.concurrency, stats.clone());
        let label = Label::new(target.name());
        let body = work.env().body.as_str().into();
        let slow = work.env().span_sink.as_ref().map(|span_sink| span_sink.slow());
        Self { work, target, stats, body, slow, timeout: limits.timeout, limit, label }
    }

    /// Returns the time that the request may take: the shorter of its caller's and the spec's.
    fn granted(&self, request: &Envelope) -> Duration {
        request.timeout.unwrap_or(TIMEOUT_DEFAULT).min(self.timeout)
    }

    /// Waits for a permit. The waiting counts as the caller's time.
    async fn wait(&self, mut request: Envelope) -> Result<Envelope, BusError> {
        let arrived = tokio::time::Instant::now();
        let granted = self.granted(&request);
        match self.limit.acquire(request.payload.len(), granted).await {
            Some(permit) => {
                let waited = arrived.elapsed();
                request.timeout = Some(granted.saturating_sub(waited));
                self.answer(request, permit, waited).await
            }
            None => {
                let context = CellContext::sampled(self.work.env().clone(), &mut request);
                Err(self.failed(
                    &context,
                    arrived.elapsed(),
                    Duration::ZERO,
                    BusError::overloaded(&self.target),
                ))
            }
        }
    }

    async fn answer(
        &self,
        mut request: Envelope,
        permit: Permit<'_>,
        waited: Duration,
    ) -> Result<Envelope, BusError> {
        let granted = self.granted(&request);
        request.timeout = Some(granted);
        let context = CellContext::sampled(self.work.env().clone(), &mut request);
        let Some(lease) = self.work.lease() else {
            let error = BusError::unavailable(&self.target, "it is being restarted");
            return Err(self.failed(&context, waited, Duration::ZERO, error));
        };
        if let Err(error) = self.work.check_input(&request) {
            return Err(self.failed(&context, waited, Duration::ZERO, error));
        }
        let work = Contained::new(&self.label, || self.work.run(&lease, &context, request));
        let answer = within(granted, work).await;
        // The context read the clock when it was made: its deadline shows when that was.
        let busy = Instant::now() + granted - context.deadline();
        self.stats.count_run(waited, busy);
        if self.slow.is_some() {
            self.stats.latency.record(waited + busy);
        }
        drop(permit);
        let error = match answer {
            // A cell may pass on the refusal of another cell or of a process: an error like any
            // other.
            Ok(Ok(Ok(reply))) if reply.kind == Kind::Error => match reply.into_result() {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            },
            Ok(Ok(Ok(mut reply))) => match self.check_reply(&context, &reply) {
                Ok(()) => {
                    reply.source.body = self.body.clone();
                    self.stats.calls.fetch_add(1, Ordering::Relaxed);
                    if self.is_recorded(&context, waited + busy) {
                        self.record(&context, waited, busy, None);
                    }
                    return Ok(reply);
                }
                Err(error) => error,
            },
            Ok(Ok(Err(error))) => error.into(),
            Ok(Err(panic)) => self.panicked(&context, &panic),
            Err(_) => BusError::timeout(&self.target, granted),
        };
        Err(self.failed(&context, waited, busy, error))
    }

    /// Checks that a reply may be sent: its schema and its size.
    fn check_reply(&self, context: &CellContext, reply: &Envelope) -> Result<(), BusError> {
        self.work.check_output(context, reply)?;
        bus::reply::check_reply_size(reply, &self.target, context.env().reply_max)
    }

    /// Counts and records a call that failed.
    #[cold]
    fn failed(
        &self,
        context: &CellContext,
        waited: Duration,
        busy: Duration,
        error: BusError,
    ) -> BusError {
        self.record(context, waited, busy, Some(error.code().clone()));
        self.counted(error)
    }

    #[cold]
    fn counted(&self, error: BusError) -> BusError {
        self.stats.count_error(error.code(), error.to_string());
        error
    }

    /// True if a successful call is recorded.
    fn is_recorded(&self, context: &CellContext, took: Duration) -> bool {
        context.span().is_sampled() || self.slow.is_some_and(|slow| took > slow)
    }

    #[cold]
    fn record(&self, context: &CellContext, waited: Duration, busy: Duration, error: Option<Code>) {
        let env = context.env();
        let Some(span_sink) = &env.span_sink else { return };
        let elapsed = waited + busy;
        let (notes, notes_dropped) = context.span_entries().take();
        span_sink.record(Span {
            trace: context.trace(),
            parent: context.parent(),
            side: Side::Server,
            target: self.target.clone(),
            language: env.language.clone(),
            place: env.source().clone(),
            peer: context.caller().clone(),
            id: context.id(),
            attempt: context.attempt().saturating_sub(1),
            began_ns: cbs::now_ns()
                .saturating_sub(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)),
            waited,
            elapsed,
            via: context.via(),
            error,
            notes,
            notes_dropped,
            tracestate: context.tracestate().clone(),
        });
    }

    #[cold]
    fn panicked(&self, context: &CellContext, panic: &Panic) -> BusError {
        let id = context.id();
        tracing::error!(
            target: "cbs::cell",
            cell = %self.target.name(),
            id = %id,
            correlation_id = %context.correlation_id(),
            trace_id = %context.trace().id(),
            place = %panic.place,
            "the cell panicked: {}", panic.message
        );
        CellError::cell_failed(id).into()
    }

    #[cold]
    fn too_deep(&self) -> BusError {
        let message = format!(
            "calls stand {DEPTH_MAX} deep in one another at {}: do they go in a circle?",
            self.target
        );
        self.counted(BusError::new(CellError::new(Code::Refused, message), Outcome::NotRun))
    }
}

impl<W: Work> Handler for Guard<W> {
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        if scope::depth() >= DEPTH_MAX {
            return Box::pin(std::future::ready(Err(self.too_deep())));
        }
        match self.limit.try_acquire() {
            Some(permit) => Box::pin(self.answer(request, permit, Duration::ZERO)),
            None => Box::pin(self.wait(request)),
        }
    }

    fn offer(
        &self,
        request: Envelope,
    ) -> Result<BoxFuture<'_, Result<Envelope, BusError>>, Box<Envelope>> {
        if scope::depth() >= DEPTH_MAX {
            // Not returned to the caller: a loop of calls would go on through other bodies.
            return Ok(self.handle(request));
        }
        if self.work.lease().is_none() {
            return Err(Box::new(request));
        }
        match self.limit.try_acquire() {
            Some(permit) => Ok(Box::pin(self.answer(request, permit, Duration::ZERO))),
            None => Err(Box::new(request)),
        }
    }
}
