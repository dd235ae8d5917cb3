//! A flow as a handler: the driver of the flow engine.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cbs::{
    BoxFuture, BusError, CellContext, CellEnv, CellError, Code, Envelope, FlowName, Handler,
    Outcome, Service, Stats, Target, TargetInfo, Uuid,
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

/// A call to be made: the engine's decision, and the id of the attempts before it.
struct StepCall {
    call: CallId,
    target: Target,
    input: Json,
    timeout: Option<Duration>,
    attempt: u32,
    id: Option<Uuid>,
}

/// Result of one piece of outside work.
struct Done {
    event: Event,
    /// The id that a retry of this call keeps.
    id: Option<Uuid>,
}

impl FlowWork {
    fn flow(&self) -> &FlowName {
        self.plan.name()
    }

    /// Passes events to the engine and carries out its decisions until the run is over. Work that
    /// still runs then is dropped with the run.
    async fn drive(&self, context: &CellContext, input: Json) -> Result<Json, CellError> {
        let mut run = Run::seeded(self.plan.clone(), context.id().as_u64_pair().1);
        let mut outside = FuturesUnordered::new();
        let mut failed = Vec::new();
        let mut decisions = run.handle(Event::Started { input });
        loop {
            for decision in decisions {
                match decision {
                    Decision::Finish { output } => return Ok(output),
                    Decision::Fail { error } => return Err(error),
                    Decision::Log(LogEntry::NoValue { message, values }) => {
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
                    }
                    Decision::Log(note) => {
                        if let Some(observer) = &self.observer {
                            observer.noted(self.flow(), &note);
                        }
                    }
                    Decision::Call { call, target, input, timeout, attempt } => {
                        let id = earlier(&failed, &call);
                        outside.push(self.act(
                            context,
                            Act::Call(StepCall { call, target, input, timeout, attempt, id }),
                        ));
                    }
                    Decision::Wait { call, delay } => {
                        outside.push(self.act(context, Act::Wait(call, delay)));
                    }
                }
            }
            let Some(Done { event, id }) = outside.next().await else {
                return Err(CellError::new(
                    Code::Internal,
                    format!("the flow {} waits for nothing", self.flow()),
                ));
            };
            if let (Event::Failed { call, .. }, Some(id)) = (&event, id) {
                failed.push((call.clone(), id));
            }
            decisions = run.handle(event);
        }
    }

    async fn act(&self, context: &CellContext, act: Act) -> Done {
        match act {
            Act::Call(step) => self.call(context, step).await,
            Act::Wait(call, delay) => {
                tokio::time::sleep(delay).await;
                Done { event: Event::Waited { call }, id: None }
            }
        }
    }

    /// Makes one call, and reports the attempt to the observer.
    async fn call(&self, context: &CellContext, step: StepCall) -> Done {
        let StepCall { call, target, input, timeout, attempt, id } = step;
        let began = Instant::now();
        let mut request = context.request(target.clone(), input.into_bytes());
        request.id = id.unwrap_or(request.id);
        request.attempt = attempt;
        if attempt > 0 {
            // By the id that it keeps, it would look as old as the first attempt.
            request.time_ms = cbs::now_ms();
        }
        request.timeout =
            request.timeout.map(|remaining| timeout.map_or(remaining, |own| own.min(remaining)));
        let id = request.id;
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
        match answer {
            Ok(value) => Done { event: Event::Answered { call, value }, id: None },
            Err(error) => {
                let not_run = error.outcome() == Outcome::NotRun;
                Done {
                    event: Event::Failed { call, error: error.into_error(), not_run },
                    id: Some(id),
                }
            }
        }
    }
}

/// One piece of outside work.
enum Act {
    Call(StepCall),
    Wait(CallId, Duration),
}

/// Returns the id of the attempts of this call that failed: a retry keeps it.
fn earlier(failed: &[(CallId, Uuid)], call: &CallId) -> Option<Uuid> {
    let same = |other: &CallId| {
        (other.step(), other.item(), other.is_fallback())
            == (call.step(), call.item(), call.is_fallback())
    };
    failed.iter().find(|(other, _)| same(other)).map(|(_, id)| *id)
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
