//! Parts of the cases: handlers, calls, subscriptions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cbs::{
    BodyBus, BoxFuture, BusError, Code, Delivery, Envelope, EventStream, Handler, Outcome, Service,
    Serving, Subscription, Target,
};

use crate::within;

/// Limit of the time of a single step of a case.
pub(super) const STEP: Duration = Duration::from_secs(20);
/// Limit of the time for "at once": far below the timeout of [`request`], and enough for a busy
/// machine.
pub(super) const AT_ONCE: Duration = Duration::from_secs(5);
/// The cell that most cases serve.
pub(super) const CELL: &str = "demo.cell";

pub(super) type Answer = Result<Envelope, BusError>;

struct Function<F>(F);

impl<F, Answering> Handler for Function<F>
where
    F: Fn(Envelope) -> Answering + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Answer> {
        Box::pin((self.0)(request))
    }
}

pub(super) fn target(name: &str) -> Target {
    name.parse().expect("a valid target")
}

/// Serves a target with a function.
pub(super) async fn serve<F, Answering>(
    bus: &Arc<dyn BodyBus>,
    name: &str,
    function: F,
) -> Box<dyn Serving>
where
    F: Fn(Envelope) -> Answering + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    try_serve(bus, name, function).await.unwrap_or_else(|error| panic!("serving {name}: {error}"))
}

pub(super) async fn try_serve<F, Answering>(
    bus: &Arc<dyn BodyBus>,
    name: &str,
    function: F,
) -> Result<Box<dyn Serving>, BusError>
where
    F: Fn(Envelope) -> Answering + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    let handler = Arc::new(Function(function));
    let service =
        Service { target: target(name), handler, about: Arc::default(), stats: Arc::default() };
    within(STEP, "serving a target", bus.serve(service)).await
}

/// Serves a second handler of a target that is already served. A bus may refuse two of one body
/// with `conflict`: then this returns `None`.
pub(super) async fn serve_second<F, Answering>(
    bus: &Arc<dyn BodyBus>,
    name: &str,
    function: F,
) -> Option<Box<dyn Serving>>
where
    F: Fn(Envelope) -> Answering + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    match try_serve(bus, name, function).await {
        Ok(serving) => Some(serving),
        Err(error) => {
            assert_eq!(error.code(), &Code::Conflict, "a second handler of one target: {error}");
            None
        }
    }
}

/// A handler that returns the payload.
pub(super) async fn echo(request: Envelope) -> Answer {
    Ok(Envelope::reply(request.payload))
}

/// Returns a request to the cell with a timeout that no case reaches.
pub(super) fn request(name: &str, payload: impl Into<cbs::Bytes>) -> Envelope {
    Envelope { timeout: Some(Duration::from_secs(15)), ..Envelope::request(target(name), payload) }
}

pub(super) async fn call(bus: &Arc<dyn BodyBus>, request: Envelope) -> Answer {
    within(STEP, "a call", bus.call(request)).await
}

/// Calls, and returns the answer and the time it took.
pub(super) async fn timed_call(bus: &Arc<dyn BodyBus>, request: Envelope) -> (Answer, Duration) {
    let started = Instant::now();
    let answer = call(bus, request).await;
    (answer, started.elapsed())
}

pub(super) async fn stop(serving: Box<dyn Serving>) {
    within(STEP, "stopping what is served", serving.stop()).await;
}

/// Asserts code and outcome of a call's error.
#[track_caller]
pub(super) fn assert_fails(answer: &Answer, code: &Code, outcome: Outcome) {
    match answer {
        Ok(reply) => panic!("expected {code}, and there came a reply: {reply:?}"),
        Err(error) => assert_eq!((error.code(), error.outcome()), (code, outcome), "{error}"),
    }
}

/// Asserts that no handler ran the call.
#[track_caller]
pub(super) fn assert_nobody(answer: &Answer) {
    match answer {
        Ok(reply) => panic!("nobody serves it, and there came a reply: {reply:?}"),
        Err(error) => {
            assert!(matches!(error.code(), Code::NotFound | Code::Unavailable), "{error}");
            assert_eq!(error.outcome(), Outcome::NotRun, "{error}");
        }
    }
}

pub(super) async fn subscribe(
    bus: &Arc<dyn BodyBus>,
    filter: &str,
    group: Option<&str>,
) -> Box<dyn EventStream> {
    let wanted = Subscription {
        filter: filter.parse().expect("a valid filter"),
        group: group.map(|group| group.parse().expect("a valid group")),
    };
    within(STEP, "subscribing", bus.subscribe(wanted))
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn event(topic: &str, payload: impl Into<cbs::Bytes>) -> Envelope {
    Envelope::event(topic.parse().expect("a valid topic"), payload)
}

pub(super) async fn publish(bus: &Arc<dyn BodyBus>, event: Envelope) -> Result<(), BusError> {
    within(STEP, "publishing", bus.publish(event)).await
}

/// Returns the next event, which must come and must not be a loss.
pub(super) async fn receive(stream: &mut Box<dyn EventStream>) -> Envelope {
    match within(STEP, "the next event", stream.next()).await {
        Some(Delivery::Event(event)) => *event,
        other => panic!("expected an event, and heard {other:?}"),
    }
}
