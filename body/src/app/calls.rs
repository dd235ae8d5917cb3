//! Records of calls (caller, target, outcome): in front of the handlers of this body, and where its
//! own calls leave it. They are made only if a watcher wants them; without one, calls have no extra
//! cost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bus::InProcess;
use cbs::{
    BodyBus, BoxFuture, BusError, Code, Envelope, EventStream, Handler, Service, Serving,
    Subscription, Target, Text, Transport,
};

/// Record of one call that ended.
#[derive(Clone, Debug)]
pub(crate) struct CallRecord {
    /// Cell or flow that called, in [`Target`]'s form; empty if the caller is neither.
    pub(crate) source: Text,
    pub(crate) target: Target,
    /// Outcome of the call; `None` if its caller has given up.
    pub(crate) outcome: Option<Result<(), Code>>,
    pub(crate) via: Transport,
    pub(crate) elapsed: Duration,
}

/// Receives a record of every call. It runs on the task of the call and must not block.
pub(crate) type CallTap = Arc<dyn Fn(CallRecord) + Send + Sync>;

/// Bus that the cells of a watched body use.
pub(super) struct TappedBus {
    pub(super) inner: Arc<dyn BodyBus>,
    pub(super) local: Arc<InProcess>,
    pub(super) body: Text,
    pub(super) call_tap: CallTap,
}

impl BodyBus for TappedBus {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(async move {
            let Some(target) = request.target.clone() else {
                return self.inner.call(request).await;
            };
            // A call that is served here is recorded by its handler, even if it came back through
            // NATS.
            let here = self.local.hosted(&target);
            let mut pending =
                Pending::new(&self.call_tap, target, request.source.cell.clone(), Transport::Nats);
            if here {
                pending.armed = false;
            }
            let answer = self.inner.call(request).await;
            pending.armed = match &answer {
                Ok(reply) => reply.via == Transport::Nats && reply.source.body != self.body,
                Err(_) => !here,
            };
            pending.end(&answer);
            answer
        })
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        self.inner.publish(event)
    }

    fn serve(&self, service: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        let handler = Arc::new(TappedHandler {
            target: service.target.clone(),
            inner: service.handler.clone(),
            call_tap: self.call_tap.clone(),
        });
        self.inner.serve(Service { handler, ..service })
    }

    fn subscribe(
        &self,
        wanted: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        self.inner.subscribe(wanted)
    }
}

/// Handler that records the calls of the handler behind it.
struct TappedHandler {
    target: Target,
    inner: Arc<dyn Handler>,
    call_tap: CallTap,
}

impl TappedHandler {
    fn begin(&self, request: &Envelope) -> Pending {
        Pending::new(&self.call_tap, self.target.clone(), request.source.cell.clone(), request.via)
    }
}

impl Handler for TappedHandler {
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        let pending = self.begin(&request);
        Box::pin(pending.watch(self.inner.handle(request)))
    }

    fn offer(
        &self,
        request: Envelope,
    ) -> Result<BoxFuture<'_, Result<Envelope, BusError>>, Box<Envelope>> {
        let mut pending = self.begin(&request);
        match self.inner.offer(request) {
            Ok(answer) => Ok(Box::pin(pending.watch(answer))),
            Err(request) => {
                // The call is served by another transport, which records it.
                pending.armed = false;
                Err(request)
            }
        }
    }
}

/// Call in progress. It is recorded when it ends, also when it is dropped.
struct Pending {
    record: CallRecord,
    since: Instant,
    call_tap: CallTap,
    armed: bool,
}

impl Pending {
    fn new(call_tap: &CallTap, target: Target, source: Text, via: Transport) -> Self {
        let record = CallRecord { source, target, outcome: None, via, elapsed: Duration::ZERO };
        Self { record, since: Instant::now(), call_tap: call_tap.clone(), armed: true }
    }

    async fn watch(
        mut self,
        answer: BoxFuture<'_, Result<Envelope, BusError>>,
    ) -> Result<Envelope, BusError> {
        let answer = answer.await;
        self.end(&answer);
        answer
    }

    fn end(&mut self, answer: &Result<Envelope, BusError>) {
        self.record.outcome = Some(answer.as_ref().map(drop).map_err(|error| error.code().clone()));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.armed {
            let record = CallRecord { elapsed: self.since.elapsed(), ..self.record.clone() };
            (self.call_tap)(record);
        }
    }
}
