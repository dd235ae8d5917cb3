//! A flow as a handler: the driver of the flow engine.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cbs::{
    BoxFuture, BusError, CellContext, CellEnv, CellError, Code, Envelope, FlowName, Handler,
    Outcome, Service, Stats, Target, TargetInfo, Uuid, now_ms,
};
use flow::{CallId, Decision, Event, Json, LogEntry, Plan, Run};
use futures::{StreamExt, stream::FuturesUnordered};

use crate::{
    CallLimits, StepObserver, StepReport,
    guard::{Guard, Work},
    schemas::is_json,
};

/// Handler of a flow's calls: every request is a run. It calls the steps over the bus of its
/// [`CellEnv`]. Steps that may run at once do so on the one task of the run. Each has no more time
/// than remains of the flow's own. Limits, deadline, counters and panics are as a cell's
/// ([`CellHandler`](crate::CellHandler)).
pub struct FlowHandler {
    guard: Guard<FlowWork>,
}

impl FlowHandler {
    /// Returns the handler of a flow. The flow is the target of its environment. The observer
    /// receives every finished attempt of a step.
    #[must_use]
    pub fn new(
        plan: Arc<Plan>,
        env: Arc<CellEnv>,
        limits: CallLimits,
        observer: Option<Arc<dyn StepObserver>>,
    ) -> Arc<Self> {
        let target = Target::Flow(plan.name().clone());
        Arc::new(Self { guard: Guard::new(target, limits, FlowWork { plan, env, observer }) })
    }

    /// Returns the service to be served: this handler, its counters, and the information for
    /// discovery.
    #[must_use]
    pub fn service(self: &Arc<Self>, about: Arc<TargetInfo>) -> Service {
        Service {
            target: self.guard.target.clone(),
            handler: self.clone(),
            about,
            stats: self.stats().clone(),
        }
    }

    /// Returns the flow's counters since the handler was made.
    #[must_use]
    pub fn stats(&self) -> &Arc<Stats> {
        &self.guard.stats
    }
}

impl Handler for FlowHandler {
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        self.guard.handle(request)
    }

    fn offer(
        &self,
        request: Envelope,
    ) -> Result<BoxFuture<'_, Result<Envelope, BusError>>, Box<Envelope>> {
        self.guard.offer(request)
    }
}

struct FlowWork {
    plan: Arc<Plan>,
    env: Arc<CellEnv>,
    observer: Option<Arc<dyn StepObserver>>,
}

impl Work for FlowWork {
    type Lease = ();

    fn env(&self) -> &Arc<CellEnv> {
        &self.env
    }

    fn lease(&self) -> Option<()> {
        Some(())
    }

    fn run<'a>(
        &'a self,
        (): &'a (),
        context: &'a CellContext,
        request: Envelope,
    ) -> BoxFuture<'a, Result<Envelope, CellError>> {
        Box::pin(async move {
            let output = self.drive(context, Json::read(&request.payload)?).await?;
            Ok(Envelope::reply(output.into_bytes()))
        })
    }
}

/// A call to be made, as the engine decided.
struct StepCall {
    call: CallId,
    id: Uuid,
    target: Target,
    input: Json,
    /// Limit of this attempt; `None`: the rest of the flow's own time.
    timeout: Option<Duration>,
    attempt: u32,
}

/// One piece of outside work. It ends with an event.
enum Act {
    Call(StepCall),
    Wait(CallId, Duration),
}

impl FlowWork {
    fn flow(&self) -> &FlowName {
        self.plan.name()
    }

    /// Passes events to the engine and carries out its decisions until the run is over. Work that
    /// still runs then is dropped with the run.
    async fn drive(&self, context: &CellContext, input: Json) -> Result<Json, CellError> {
        // A context counts attempts from 1.
        let id = flow::run_id(context.id(), context.attempt().saturating_sub(1));
        let mut run = Run::new(self.plan.clone(), id);
        let mut outside = FuturesUnordered::new();
        let mut event = Event::Started { at_ms: now_ms(), input };
        loop {
            // What is due is counted from the event and not from another reading of the clock: a
            // clock that is set meanwhile makes no wait longer or shorter.
            let at_ms = event.at_ms();
            let until = |due_ms: u64| Duration::from_millis(due_ms.saturating_sub(at_ms));
            for decision in run.handle(event) {
                let act = match decision {
                    Decision::Finish { output } => return Ok(output),
                    Decision::Fail { error } => return Err(error),
                    Decision::Log(entry) => {
                        self.log(context, &entry);
                        continue;
                    }
                    Decision::Call { call, id, target, input, due_ms, attempt } => {
                        let timeout = due_ms.map(until);
                        Act::Call(StepCall { call, id, target, input, timeout, attempt })
                    }
                    Decision::Wait { call, due_ms } => Act::Wait(call, until(due_ms)),
                };
                outside.push(self.act(context, act));
            }
            event = outside.next().await.ok_or_else(|| {
                let message = format!("the flow {} waits for nothing", self.flow());
                CellError::new(Code::Internal, message)
            })?;
        }
    }

    fn log(&self, context: &CellContext, entry: &LogEntry) {
        if let LogEntry::NoValue { message, values } = entry {
            // The values are for this log only: the error that leaves has none.
            tracing::warn!(
                target: "cbs::cell",
                flow = %self.flow(),
                id = %context.id(),
                correlation_id = %context.correlation_id(),
                trace_id = %context.trace().id(),
                %values,
                "an expression has no value: {message}"
            );
        } else if let Some(observer) = &self.observer {
            observer.noted(self.flow(), entry);
        }
    }

    async fn act(&self, context: &CellContext, act: Act) -> Event {
        match act {
            Act::Call(step) => self.call(context, step).await,
            Act::Wait(call, delay) => {
                tokio::time::sleep(delay).await;
                Event::Waited { at_ms: now_ms(), call }
            }
        }
    }

    /// Makes one call, and reports the attempt to the observer.
    async fn call(&self, context: &CellContext, step: StepCall) -> Event {
        let StepCall { call, id, target, input, timeout, attempt } = step;
        let began = Instant::now();
        let remaining = context.remaining();
        let request = context.inherit(Envelope {
            id,
            attempt,
            target: Some(target.clone()),
            // The id does not hold the time.
            time_ms: now_ms(),
            timeout: Some(timeout.map_or(remaining, |own| own.min(remaining))),
            payload: input.into_bytes(),
            ..Envelope::default()
        });
        let answer = context.send(request).await;
        let elapsed = began.elapsed();
        let (body, via) =
            answer.as_ref().map(|reply| (reply.source.body.clone(), reply.via)).unwrap_or_default();
        let answer = answer.and_then(|reply| Ok(read(&target, &reply)?));
        if let Some(observer) = &self.observer {
            let outcome = answer.as_ref().map(|_| ()).map_err(BusError::error);
            let flow = self.flow();
            observer.finished(&StepReport {
                flow,
                call: &call,
                target: &target,
                body: &body,
                via,
                elapsed,
                outcome,
            });
        }
        let at_ms = now_ms();
        match answer {
            Ok(value) => Event::Answered { at_ms, call, value },
            Err(error) => {
                let not_run = error.outcome() == Outcome::NotRun;
                Event::Failed { at_ms, call, error: error.into_error(), not_run }
            }
        }
    }
}

/// Returns the answer as JSON, the only format that a flow can read.
fn read(target: &Target, reply: &Envelope) -> Result<Json, CellError> {
    let wrong = |what: &str| {
        CellError::new(Code::CellFailed, format!("{target} answered {what}, and a flow reads JSON"))
    };
    if !is_json(reply.content_type()) {
        return Err(wrong(&format!(
            "in {}",
            reply.content_type().chars().take(80).collect::<String>()
        )));
    }
    Json::read(&reply.payload).map_err(|_| wrong("what is no JSON"))
}
