//! The bus: the only thing that connects cells.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use crate::{BusError, CellName, Envelope, Stats, Target, Text, TopicFilter};

/// A future on the heap, as traits that are used through `dyn` return them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Time limit of a call whose envelope does not state one.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// A bus of one namespace, as a body and its cells see it. Middleware is a `BodyBus` that
/// holds an `Arc<dyn BodyBus>` and does something before or after.
///
/// Every implementation keeps these promises; `testkit::conformance` has a case of the same
/// number for each, and runs it on every bus and at every distance:
///
/// - **BUS-1** A call MUST end within its timeout ([`Envelope::timeout`], else
///   [`TIMEOUT_DEFAULT`]), with a reply or an error; `timeout` where the outcome is unknown.
/// - **BUS-2** A reply MUST carry its request's ids, and the payload, content type, schema and
///   attributes that the handler gave it.
/// - **BUS-3** A call that nobody serves MUST fail with `not-found` (or `unavailable`, where the
///   target is known to exist) and [`Outcome::NotRun`](crate::Outcome::NotRun), and not wait for
///   its timeout.
/// - **BUS-4** Of several that serve one target, exactly one MUST be handed a call.
/// - **BUS-5** A handler's error MUST reach the caller with code, message, retryable, details
///   and outcome unchanged, as far as [`ERROR_BYTES_MAX`](crate::ERROR_BYTES_MAX) goes.
/// - **BUS-6** When [`Serving::stop`] has returned, every call that the bus took for the handler
///   MUST have been answered, and the handler MUST NOT be handed another.
/// - **BUS-7** An event MUST reach every subscription that matches: once for each that has no
///   group, and once for each group. That nobody listens is no error.
/// - **BUS-8** A message larger than the bus takes MUST fail with `too-large` before it is sent.
/// - **BUS-9** The timeout that a handler sees MUST be what remains of the caller's, never more.
/// - **BUS-10** When the bus is down, calls and events MUST fail at once with `unavailable`.
/// - **BUS-11** A queue that is full MUST refuse: a call with `overloaded`, an event with
///   [`Delivery::Missed`] to the subscriber that missed it.
///
/// The one mistake that everybody makes: a middleware that keeps an envelope's `timeout` and
/// then waits. Time that has passed must be taken off before the envelope goes on:
///
/// ```
/// use std::{sync::Arc, time::Instant};
/// use cbs::{BodyBus, BoxFuture, BusError, Envelope, EventStream, Service, Serving, Subscription, TIMEOUT_DEFAULT};
///
/// /// Tries a call once more when the cell did not run.
/// struct Again(Arc<dyn BodyBus>);
///
/// impl BodyBus for Again {
///     fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
///         Box::pin(async move {
///             let (started, timeout) = (Instant::now(), request.timeout.unwrap_or(TIMEOUT_DEFAULT));
///             match self.0.call(request.clone()).await {
///                 Err(error) if error.outcome() == cbs::Outcome::NotRun => {
///                     let remaining = timeout.saturating_sub(started.elapsed());
///                     let sent = cbs::now_ms(); // else it is as old as its id
///                     self.0.call(Envelope { attempt: 1, timeout: Some(remaining), time_ms: sent, ..request }).await
///                 }
///                 done => done,
///             }
///         })
///     }
///     fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
///         self.0.publish(event)
///     }
///     fn serve(&self, service: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
///         self.0.serve(service)
///     }
///     fn subscribe(&self, wanted: Subscription) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
///         self.0.subscribe(wanted)
///     }
/// }
/// ```
pub trait BodyBus: Send + Sync + 'static {
    /// Sends a request to its target and waits for the reply. Dropping the future gives the
    /// call up; the cell may still run.
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>>;

    /// Publishes an event to all subscribers of its topic. Done when the bus has taken the event,
    /// not when a subscriber has received it.
    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>>;

    /// Serves a target with a handler. Done when calls reach it: on NATS, when the server
    /// knows the subscription.
    fn serve(&self, service: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>>;

    /// Listens to events. Done when events reach it.
    fn subscribe(
        &self,
        wanted: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>>;
}

/// Answers requests. Runs on the task that the bus reads requests with: it may await, and must
/// not block.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Dropping the future ends the handling.
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>>;

    /// Answers one request if it can begin at once, else gives it back: a body sends its own calls
    /// to another body rather than into a queue.
    ///
    /// # Errors
    /// Returns the request itself where there is no capacity for it now.
    fn offer(
        &self,
        request: Envelope,
    ) -> Result<BoxFuture<'_, Result<Envelope, BusError>>, Box<Envelope>> {
        Ok(self.handle(request))
    }
}

/// Target with its handler, its description and its statistics.
#[derive(Clone)]
pub struct Service {
    /// Target that is served.
    pub target: Target,
    /// Handler that answers the requests.
    pub handler: Arc<dyn Handler>,
    /// Information about the target that discovery reports.
    pub about: Arc<TargetInfo>,
    /// Counters of the target. The code that made the handler counts.
    pub stats: Arc<Stats>,
}

/// Information about a served target that discovery reports. An empty text means: not reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetInfo {
    /// Language that the target is written in, for example `rust`.
    pub language: Text,
    /// Its version (semver).
    pub version: Text,
    /// The revision of its spec: a short hash.
    pub revision: Text,
    /// One line for a person.
    pub description: Text,
    /// The input's schema and the hash of its content.
    pub input: (Text, Text),
    /// The output's schema and the hash of its content.
    pub output: (Text, Text),
}

/// A target that is being served. Dropping it ends serving at once; [`Serving::stop`] loses
/// nothing.
pub trait Serving: Send + Sync {
    /// Takes no new calls, answers those it has, and returns. The caller sets the time limit
    /// by dropping the future.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Selection of the events that a subscriber receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topics.
    pub filter: TopicFilter,
    /// Group of subscribers that share the events; without a group, each subscriber receives all.
    pub group: Option<CellName>,
}

/// Item that a subscription receives.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// An event.
    Event(Box<Envelope>),
    /// Number of events that are lost to this subscription: they came while its queue was full.
    Missed(u64),
}

/// The events of a subscription; dropping it ends the subscription.
pub trait EventStream: Send {
    /// The next event; `None` when the bus has been closed. Cancel-safe.
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>>;
}
