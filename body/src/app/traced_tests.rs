//! Tests of which calls are recorded for their callers.

use std::sync::{Mutex, PoisonError};

use super::*;

#[derive(Default)]
struct Recorded(Mutex<Vec<Span>>);

impl SpanSink for Recorded {
    fn samples(&self, _: [u8; 16]) -> bool {
        true
    }

    fn slow(&self) -> Duration {
        Duration::MAX
    }

    fn record(&self, span: Span) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }
}

/// Cell that answers with the span of its caller, or never.
struct Echo {
    answers: bool,
}

impl BodyBus for Echo {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(async move {
            if !self.answers {
                std::future::pending::<()>().await;
            }
            let caller =
                request.foreign_trace.map(|trace| trace.span_id.to_vec()).unwrap_or_default();
            let source = Source { body: "two".into(), ..Source::default() };
            Ok(Envelope { via: Transport::Nats, source, ..Envelope::reply(caller) })
        })
    }

    fn publish(&self, _: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async { Ok(()) })
    }

    fn serve(&self, _: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        Box::pin(async { Err(BusError::bad_request("not here")) })
    }

    fn subscribe(&self, _: Subscription) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        Box::pin(async { Err(BusError::bad_request("not here")) })
    }
}

fn traced(answers: bool) -> (TracedBus, Arc<Recorded>) {
    let recorded = Arc::<Recorded>::default();
    (TracedBus { inner: Arc::new(Echo { answers }), span_sink: recorded.clone() }, recorded)
}

fn request(flags: u8) -> Result<Envelope, cbs::NameError> {
    let foreign_trace = Some(Trace { trace_id: [1; 16], span_id: [2; 8], flags });
    Ok(Envelope { foreign_trace, ..Envelope::request("logic.greet".parse()?, "{}") })
}

fn spans(recorded: &Recorded) -> Vec<Span> {
    recorded.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[tokio::test]
async fn a_sampled_call_is_a_span_between_its_caller_and_its_callee()
-> Result<(), Box<dyn std::error::Error>> {
    let (traced, recorded) = traced(true);
    let request = request(1)?;
    let id = request.id;
    let own = client_span_of(request.id, 0);
    let reply = traced.call(request).await?;
    assert_eq!(reply.payload, own.to_vec(), "the callee's parent is the client's span");
    let [span] = spans(&recorded).try_into().map_err(|spans| format!("{spans:?}"))?;
    assert_eq!(
        (span.side, span.parent, span.trace.span_id, span.id),
        (Side::Client, Some([2; 8]), own, id)
    );
    assert_eq!((span.peer.body.as_str(), span.via, span.error), ("two", Transport::Nats, None));
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_not_sampled_passes_as_it_is() -> Result<(), Box<dyn std::error::Error>> {
    let (traced, recorded) = traced(true);
    let reply = traced.call(request(0)?).await?;
    assert_eq!(reply.payload, [2; 8].to_vec());
    assert!(spans(&recorded).is_empty());
    Ok(())
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_is_recorded_as_out_of_time()
-> Result<(), Box<dyn std::error::Error>> {
    let (traced, recorded) = traced(false);
    let waited = tokio::time::timeout(Duration::from_millis(1), traced.call(request(1)?)).await;
    assert!(waited.is_err());
    assert_eq!(spans(&recorded).first().and_then(|span| span.error.clone()), Some(Code::Timeout));
    Ok(())
}

#[test]
fn the_spans_of_caller_and_callee_differ_in_every_attempt() {
    let id = Uuid::now_v7();
    let all: std::collections::HashSet<_> = (0..100)
        .flat_map(|attempt| [client_span_of(id, attempt), cbs::span_of_attempt(id, attempt)])
        .collect();
    assert_eq!(all.len(), 200);
}
