//! Helpers that the tests here share: bodies, clients, and handlers made of functions.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bus_nats::{LinkState, Nats, Options};
use cbs::{
    BoxFuture, BusError, CellError, Code, Envelope, Handler, Outcome, Service, Serving, Target,
};
use testkit::{NatsServer, within};

/// Limit that is longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A handler made of a function.
struct Function<F>(F);

impl<F, Fut> Handler for Function<F>
where
    F: Fn(Envelope) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Envelope, BusError>> + Send + 'static,
{
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin((self.0)(request))
    }
}

/// Returns a service that reports nothing but its name.
pub(crate) fn service<F, Fut>(name: &str, function: F) -> Service
where
    F: Fn(Envelope) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Envelope, BusError>> + Send + 'static,
{
    Service {
        target: target(name),
        handler: Arc::new(Function(function)),
        about: Arc::default(),
        stats: Arc::default(),
    }
}

/// Returns a service that replies with its request's payload and content type.
pub(crate) fn echo(name: &str) -> Service {
    service(name, |request| async move {
        Ok(Envelope { content_type: request.content_type, ..Envelope::reply(request.payload) })
    })
}

/// Returns the greeting's middle cell, as a body would host it.
pub(crate) fn greet() -> Service {
    #[derive(serde::Deserialize)]
    struct Name {
        name: String,
    }
    service("logic.greet", |request| async move {
        let input: Name = cbs::from_json(&request.payload)?;
        Ok(Envelope::reply(format!(r#"{{"text":"Hello, {}!"}}"#, input.name)))
    })
}

pub(crate) fn target(name: &str) -> Target {
    name.parse().unwrap()
}

/// Returns a request with a payload and the timeout of tests.
pub(crate) fn request(name: &str, payload: impl Into<cbs::Bytes>) -> Envelope {
    Envelope { timeout: Some(LONG), ..Envelope::request(target(name), payload) }
}

pub(crate) fn options(server: &NatsServer, id: &str) -> Options {
    Options::new(server.url(), id.parse().unwrap())
}

pub(crate) async fn body(server: &NatsServer, id: &str) -> Nats {
    within(LONG, "a body's connections", Nats::connect(options(server, id))).await.unwrap()
}

pub(crate) async fn client(server: &NatsServer) -> Nats {
    within(LONG, "a client's connection", Nats::connect_client(options(server, "client-1")))
        .await
        .unwrap()
}

/// Returns a plain NATS client, which does not know CBS.
pub(crate) async fn plain(server: &NatsServer) -> async_nats::Client {
    within(LONG, "a plain client's connection", async_nats::connect(server.url())).await.unwrap()
}

/// Sends a message to the server and waits for it to come back: then the server has taken what a
/// plain client subscribed to and sent. Its `flush` does not promise that.
pub(crate) async fn settle(client: &async_nats::Client) {
    let asked = client.request("nobody.listens.here", "".into());
    let error = within(LONG, "the server's word", asked).await.unwrap_err();
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
}

pub(crate) async fn serve(nats: &Nats, service: Service) -> Box<dyn Serving> {
    within(LONG, "serving", nats.bus().serve(service)).await.unwrap()
}

pub(crate) async fn stop(serving: Box<dyn Serving>) {
    within(LONG, "the end of serving", serving.stop()).await;
}

pub(crate) async fn call(nats: &Nats, request: Envelope) -> Result<Envelope, BusError> {
    within(LONG, "the outcome of a call", nats.bus().call(request)).await
}

/// Returns the code of an error and its outcome, on which callers branch.
pub(crate) fn fault(done: Result<Envelope, BusError>) -> (Code, Outcome) {
    let error = done.unwrap_err();
    (error.code().clone(), error.outcome())
}

/// Returns the error of a framed reply that a plain client got.
pub(crate) fn framed_error(message: &async_nats::Message) -> CellError {
    cbs::frame::decode(message.payload.clone()).unwrap().into_result().unwrap_err().into_error()
}

/// Limit of the time for a failure "at once": far below the timeout of calls, and enough on a busy
/// machine.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(5);

pub(crate) async fn until(nats: &Nats, state: LinkState) {
    let mut link = nats.link();
    within(LONG, "the link's change", link.wait_for(|now| *now == state)).await.unwrap();
}

pub(crate) fn counting(name: &str, runs: &Arc<AtomicU64>) -> Service {
    let runs = runs.clone();
    service(name, move |request| {
        runs.fetch_add(1, Ordering::Relaxed);
        async move { Ok(Envelope::reply(request.payload)) }
    })
}
