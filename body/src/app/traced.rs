//! Calls from their callers' side: a client span for each attempt of a sampled call.
//!
//! The recorder is between the retries and the router, so that every attempt has a span of its own.
//! A call that is not sampled costs one comparison.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cbs::{
    BodyBus, BoxFuture, BusError, Code, Envelope, EventStream, Service, Serving, Side, Source,
    Span, SpanSink, Subscription, Target, Text, Trace, Transport, Uuid, now_ns,
};

/// Bus whose sampled calls are recorded.
pub(super) struct TracedBus {
    pub(super) inner: Arc<dyn BodyBus>,
    pub(super) span_sink: Arc<dyn SpanSink>,
}

impl BodyBus for TracedBus {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        match request.foreign_trace {
            Some(trace) if trace.is_sampled() => Box::pin(self.traced(request, trace)),
            _ => self.inner.call(request),
        }
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        self.inner.publish(event)
    }

    fn serve(&self, service: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        self.inner.serve(service)
    }

    fn subscribe(
        &self,
        wanted: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        self.inner.subscribe(wanted)
    }
}

impl TracedBus {
    async fn traced(&self, mut request: Envelope, trace: Trace) -> Result<Envelope, BusError> {
        let Some(target) = request.target.clone() else { return self.inner.call(request).await };
        let own = Trace { span_id: client_span_of(request.id, request.attempt), ..trace };
        request.foreign_trace = Some(own);
        let mut pending = Pending {
            span_sink: &self.span_sink,
            span: Some(client_span(&request, target, own, Some(trace.span_id))),
            since: Instant::now(),
        };
        let answer = self.inner.call(request).await;
        pending.end(&answer);
        answer
    }
}

/// Returns the client span of a call that has no answer yet.
pub(crate) fn client_span(
    request: &Envelope,
    target: Target,
    trace: Trace,
    parent: Option<[u8; 8]>,
) -> Span {
    Span {
        trace,
        parent,
        side: Side::Client,
        peer: Source { cell: target.to_string().into(), ..Source::default() },
        target,
        language: Text::default(),
        place: request.source.clone(),
        id: request.id,
        attempt: request.attempt,
        began_ns: now_ns(),
        waited: Duration::ZERO,
        elapsed: Duration::ZERO,
        via: Transport::default(),
        error: None,
        notes: Vec::new(),
        notes_dropped: 0,
        tracestate: request.tracestate.clone(),
    }
}

/// Records the end of a call in its client span.
pub(crate) fn ended(span: &mut Span, answer: &Result<Envelope, BusError>, elapsed: Duration) {
    span.elapsed = elapsed;
    match answer {
        Ok(reply) => {
            span.via = reply.via;
            span.peer.body = reply.source.body.clone();
        }
        Err(error) => span.error = Some(error.code().clone()),
    }
}

/// Returns the span id of an attempt for its caller. It never equals that of its handling, whose
/// highest bits are those of a UUID.
pub(crate) fn client_span_of(id: Uuid, attempt: u32) -> [u8; 8] {
    cbs::span_of_attempt(id, attempt).map(|byte| !byte)
}

/// Call in progress. It is also recorded if its caller gives up.
struct Pending<'a> {
    span_sink: &'a Arc<dyn SpanSink>,
    span: Option<Span>,
    since: Instant,
}

impl Pending<'_> {
    fn end(&mut self, answer: &Result<Envelope, BusError>) {
        if let Some(mut span) = self.span.take() {
            ended(&mut span, answer, self.since.elapsed());
            self.span_sink.record(span);
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            // The caller has given up, as it does when its own time is over.
            let elapsed = self.since.elapsed();
            self.span_sink.record(Span { elapsed, error: Some(Code::Timeout), ..span });
        }
    }
}

#[cfg(test)]
#[path = "traced_tests.rs"]
mod tests;
