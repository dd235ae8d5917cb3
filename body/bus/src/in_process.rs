//! The bus without a network.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use cbs::{
    BodyBus, BoxFuture, BusError, CellError, Code, Envelope, EventStream, Outcome, Service,
    Serving, Subscription, TIMEOUT_DEFAULT, Target, Text, Transport,
};
use futures::future;

use crate::{
    events::Events,
    policy::deadline::Timer,
    registered::Registered,
    registry::{Inside, Member, Members, Registry},
    reply::{self, Ids},
};

/// Settings of an [`InProcess`] bus: its limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The id of the body, which replies carry; empty: replies carry none.
    pub body: Text,
    /// The most bytes a message may have as a frame: the limit of NATS (1 MiB by default), so that
    /// a message fits here exactly if it fits there.
    pub payload_max: usize,
    /// Limit of the events that wait in one subscription.
    pub event_queue: usize,
    /// Limit of the payload bytes that wait in one subscription.
    pub event_queue_bytes: usize,
}

impl Default for Settings {
    /// Returns settings with no body's id, messages of 1 MiB, 1,024 events and 64 MiB in each
    /// subscription (async-nats and the server have the same limits).
    fn default() -> Self {
        let mebibyte = 1024 * 1024;
        Self {
            body: Text::default(),
            payload_max: mebibyte,
            event_queue: 1024,
            event_queue_bytes: 64 * mebibyte,
        }
    }
}

/// A bus within one process. A call runs the handler on the caller's own task: no spawn, no
/// channel, no lock, no copy of the payload. The handler's future is dropped when the caller gives
/// up.
///
/// Several handlers of one target take turns, as in a queue group on NATS; a handler without
/// capacity is skipped. An event for a group goes to one of its members that has capacity.
pub struct InProcess {
    settings: Settings,
    registry: Arc<Registry>,
    events: Events,
    closed: AtomicBool,
}

/// A request that a member took: waits for its answer and makes it the caller's reply. Written as a
/// future by hand, so that the answer is changed in place.
pub(crate) struct PendingReply<'a> {
    bus: &'a InProcess,
    target: &'a Target,
    answer: BoxFuture<'a, Result<Envelope, BusError>>,
    timer: Timer,
    ids: Ids,
    _inside: Inside<'a>,
}

impl Future for PendingReply<'_> {
    type Output = Result<Envelope, BusError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = self.answer.as_mut().poll(context);
        match &mut answer {
            Poll::Ready(Ok(reply)) => {
                let Settings { body, payload_max, .. } = &self.bus.settings;
                let sealed = reply::seal(reply, &self.ids, body, Transport::InProcess);
                let checked =
                    sealed.and_then(|()| reply::check_reply_size(reply, self.target, *payload_max));
                if let Err(error) = checked {
                    return Poll::Ready(Err(error));
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let elapsed = self.timer.poll(context);
                return elapsed.map(|_| Err(BusError::timeout(self.target, self.timer.limit())));
            }
        }
        answer
    }
}

/// A request that no member in this body took.
pub(crate) struct Untaken {
    pub(crate) request: Box<Envelope>,
    /// Set if a handler serves its target here and has no capacity.
    pub(crate) full: bool,
}

/// Action for a request that finds no capacity at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfFull {
    /// It waits here.
    Wait,
    /// It is returned to the caller.
    GiveBack,
}

impl InProcess {
    /// Returns an empty bus.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        let events = Events::new(settings.event_queue, settings.event_queue_bytes);
        Arc::new(Self {
            settings,
            registry: Arc::new(Registry::new()),
            events,
            closed: AtomicBool::new(false),
        })
    }

    /// Returns the limit of the bytes of a message as a frame.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        self.settings.payload_max
    }

    /// True if a handler serves the target here.
    #[must_use]
    pub fn hosted(&self, target: &Target) -> bool {
        self.registry.find(target).is_some()
    }

    /// Ends the bus. Calls and events fail with `unavailable` from now on. A subscription ends when
    /// its waiting events have been received. Calls that run go on to their end.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.events.close();
    }

    pub(crate) fn find(&self, target: &Target) -> Option<Arc<Members>> {
        self.registry.find(target)
    }

    /// Returns all members that serve the target here.
    fn members(&self, target: &Target) -> Result<Arc<Members>, BusError> {
        self.check_open(target)?;
        callable(target)?;
        self.find(target).ok_or_else(|| BusError::not_found(target))
    }

    pub(crate) fn check_open(&self, target: &Target) -> Result<(), BusError> {
        let open = !self.closed.load(Ordering::Acquire);
        open.then_some(()).ok_or_else(|| BusError::unavailable(target, "the bus is closed"))
    }

    /// Checks that a request may be sent.
    pub(crate) fn check(&self, request: &Envelope, target: &Target) -> Result<(), BusError> {
        self.check_open(target)?;
        if request.timeout.is_some_and(|timeout| timeout.is_zero()) {
            let error = CellError::new(Code::Timeout, format!("no time is left to call {target}"));
            return Err(BusError::new(error, Outcome::NotRun));
        }
        reply::check_size(request, target, self.settings.payload_max)
    }

    /// Passes the request to one of the members. No future holds the request meanwhile: an envelope
    /// has some 300 bytes, and every layer that kept one would copy it twice.
    pub(crate) fn hand<'a>(
        &'a self,
        members: &'a Members,
        mut request: Envelope,
        if_full: IfFull,
    ) -> Result<PendingReply<'a>, Untaken> {
        let timeout = request.timeout.unwrap_or(TIMEOUT_DEFAULT);
        request.timeout = Some(timeout);
        request.idempotent = false;
        let ids = Ids::of(&request);
        let target = &members.target;
        let mut full = false;
        for member in members.rotation() {
            let Some(inside) = member.enter() else { continue };
            match member.handler.offer(request) {
                Ok(answer) => {
                    return Ok(PendingReply {
                        bus: self,
                        target,
                        answer,
                        timer: Timer::new(timeout),
                        ids,
                        _inside: inside,
                    });
                }
                Err(back) => (request, full) = (*back, true),
            }
        }
        if if_full == IfFull::Wait {
            for member in members.rotation() {
                let Some(inside) = member.enter() else { continue };
                let answer = member.handler.handle(request);
                return Ok(PendingReply {
                    bus: self,
                    target,
                    answer,
                    timer: Timer::new(timeout),
                    ids,
                    _inside: inside,
                });
            }
        }
        Err(Untaken { request: Box::new(request), full })
    }

    /// Serves a target until it is withdrawn or dropped.
    pub(crate) fn register(&self, service: Service) -> Registered {
        let member = Member::new(service.handler);
        self.registry.add(&service.target, member.clone());
        Registered { registry: self.registry.clone(), target: service.target, member }
    }
}

impl BodyBus for InProcess {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        let found = match request.target() {
            Ok(target) => self
                .members(target)
                .and_then(|members| self.check(&request, &members.target).map(|()| members)),
            Err(error) => Err(error),
        };
        match found {
            Err(error) => Box::pin(future::ready(Err(error))),
            Ok(members) => Box::pin(async move {
                match self.hand(&members, request, IfFull::Wait) {
                    Ok(taken) => taken.await,
                    // All members that served it are stopping: treated as if there were none.
                    Err(_) => Err(BusError::not_found(&members.target)),
                }
            }),
        }
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            let target = event.target()?;
            let Target::Topic(topic) = target else {
                return Err(BusError::bad_request(format!(
                    "an event goes to a topic, not to a {}",
                    target.kind()
                )));
            };
            self.check_open(target)?;
            reply::check_size(&event, target, self.settings.payload_max)?;
            self.events.publish(topic, &event);
            Ok(())
        })
    }

    fn serve(&self, service: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        Box::pin(async move {
            callable(&service.target)?;
            self.check_open(&service.target)?;
            let serving: Box<dyn Serving> = Box::new(self.register(service));
            Ok(serving)
        })
    }

    fn subscribe(
        &self,
        wanted: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        Box::pin(async move {
            let stream: Box<dyn EventStream> = Box::new(self.events.subscribe(wanted));
            Ok(stream)
        })
    }
}

/// Refuses a call to a topic: events have no reply.
pub(crate) fn callable(target: &Target) -> Result<(), BusError> {
    let answered = !matches!(target, Target::Topic(_));
    answered
        .then_some(())
        .ok_or_else(|| BusError::bad_request(format!("nobody answers on {target}: publish to it")))
}

#[cfg(test)]
#[path = "in_process_tests.rs"]
mod tests;
