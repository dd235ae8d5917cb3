//! A served target: from its subscription to its end, without losing a request.
//!
//! One task reads the subscription, polls each handler once in place, and keeps pending work in its
//! own set. There is no task per message. So the handler's own limits apply before the client's
//! buffer is full, which drops messages without an error.

use std::{
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use async_nats::Message;
use cbs::{
    BoxFuture, BusError, CellError, Code, Envelope, Service, Serving, Subject, Target, Text,
    Transport,
};
use futures::{FutureExt, Stream, StreamExt, stream::FuturesUnordered};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::{
    admin::AdminHandlers,
    connection::Connection,
    link::LinkCounters,
    message::{form_of, is_stale, read_request, stale, write_reply},
    register::Registration,
    subscription::Subscription,
};

/// Limit of the requests of one subscription that run at the same time. The handler's own limit is
/// far lower; this one applies if a handler has none. Reading pauses at the limit.
const PENDING_MAX: usize = 65_536;

/// Target that a body serves, and its handler.
pub(crate) struct Served {
    pub(crate) service: Service,
    pub(crate) subject: Subject,
    pub(crate) answering: Arc<Answering>,
    /// Requests that did not come by the subscription and are still being answered.
    pub(crate) per_body: TaskTracker,
}

/// Parts that answering a message needs besides the handler; one per body.
pub(crate) struct Answering {
    pub(crate) connection: Arc<Connection>,
    pub(crate) body: Text,
    pub(crate) counters: Arc<LinkCounters>,
    /// Handlers of the questions to the body itself.
    pub(crate) admin_handlers: AdminHandlers,
}

impl Served {
    /// Answers one message in the form that it came in.
    pub(crate) async fn answer(&self, mut message: Message) {
        let reply_to = message.reply.take();
        let form = form_of(&message);
        let target = &self.service.target;
        let reply = match read_request(message, form, target) {
            Ok(request) if is_stale(&request) => {
                self.answering.counters.stale.fetch_add(1, Ordering::Relaxed);
                Err(stale(target))
            }
            Ok(mut request) => {
                request.via = Transport::Nats;
                self.handle(request).await
            }
            Err(error) => Err(error),
        };
        // A message without a reply subject asks for no answer.
        let Some(reply_to) = reply_to else { return };
        let client = self.answering.connection.client();
        let (headers, payload) =
            write_reply(form, target, &self.answering.body, reply, client.max_payload());
        let sent = match headers {
            None => client.publish(reply_to, payload).await,
            Some(headers) => client.publish_with_headers(reply_to, headers, payload).await,
        };
        if let Err(error) = sent {
            tracing::warn!(%target, %error, "a reply could not be sent");
        }
    }

    /// Calls the handler. A panic becomes an error for the caller; the subscription goes on.
    async fn handle(&self, request: Envelope) -> Result<Envelope, BusError> {
        let id = request.id;
        let panicked = |_| {
            tracing::error!(target = %self.service.target, %id, "the handler panicked");
            Err(CellError::cell_failed(id).into())
        };
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.service.handler.handle(request))) {
            Ok(handling) => {
                AssertUnwindSafe(handling).catch_unwind().await.unwrap_or_else(panicked)
            }
            Err(panic) => panicked(panic),
        }
    }
}

/// The subscription of a served target, read by one task.
pub(crate) struct Reading {
    pub(crate) served: Arc<Served>,
    pub(crate) subscriber: Subscription,
    /// Asks for the end. The sender that comes with it is dropped when all requests have been
    /// answered.
    pub(crate) stop: oneshot::Receiver<oneshot::Sender<()>>,
}

impl Reading {
    /// Serves until asked to stop, then ends without losing a request.
    pub(crate) async fn run(self) {
        let Self { served, mut subscriber, stop } = self;
        let mut pending = FuturesUnordered::new();
        let asked =
            serve_until(&served, &mut subscriber, &mut pending, stop).await.and_then(Result::ok);
        // On the heap: a cell that serves for days need not keep memory for its end.
        Box::pin(end(&served, &mut subscriber, pending, asked.is_some())).await;
        drop(asked);
    }
}

/// Ends a subscription. If it is `asked` to end: the server is asked to send no more, while reading
/// goes on; a barrier proves that the server has sent everything; the requests that have arrived
/// are answered; a second barrier proves that the answers have been taken.
async fn end<'a>(
    served: &'a Served,
    subscriber: &mut Subscription,
    mut pending: FuturesUnordered<BoxFuture<'a, ()>>,
    asked: bool,
) {
    let connection = &served.answering.connection;
    let target = &served.service.target;
    let mut proved = Ok(());
    if asked && subscriber.stop_sending().await {
        let first = serve_until(served, subscriber, &mut pending, connection.barrier()).await;
        proved = first.unwrap_or(Err("the connection is closed"));
    }
    // Also if there was no barrier: no message may be sent here while pending requests end.
    subscriber.unsubscribe().await;
    serve_until(served, subscriber, &mut pending, std::future::pending::<()>()).await;
    while pending.next().await.is_some() {}
    served.per_body.close();
    served.per_body.wait().await;
    if asked {
        let proved = proved.and(connection.barrier().await);
        if let Err(reason) = proved {
            tracing::warn!(%target, reason, "stopped before the server confirmed; calls under way may be lost");
        }
    }
}

/// Reads and answers until `end` is done (returns its value) or the subscription has ended
/// (`None`).
async fn serve_until<'a, T>(
    served: &'a Served,
    subscriber: &mut Subscription,
    pending: &mut FuturesUnordered<BoxFuture<'a, ()>>,
    end: impl Future<Output = T>,
) -> Option<T> {
    let mut end = pin!(end);
    poll_fn(|context| {
        if let Poll::Ready(value) = end.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        while let Poll::Ready(Some(())) = pending.poll_next_unpin(context) {}
        while pending.len() < PENDING_MAX {
            match Pin::new(&mut *subscriber).poll_next(context) {
                Poll::Ready(Some(message)) => {
                    let mut answer: BoxFuture<'a, ()> = Box::pin(served.answer(message));
                    if answer.as_mut().poll(context).is_pending() {
                        pending.push(answer);
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        let full = pending.len() >= PENDING_MAX;
        // A new future must be polled by the set itself, so that it can wake the set.
        while let Poll::Ready(Some(())) = pending.poll_next_unpin(context) {}
        if full && pending.len() < PENDING_MAX {
            // There is capacity again, and the subscription has no waker to call.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

/// Handle of a target that is served over NATS. Dropping it ends serving at once.
pub(crate) struct ServingNats {
    /// Removes the target from the body's register when it is dropped.
    pub(crate) registration: Registration,
    pub(crate) stop: oneshot::Sender<oneshot::Sender<()>>,
}

impl Serving for ServingNats {
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            drop(self.registration);
            let (sender, receiver) = oneshot::channel();
            if self.stop.send(sender).is_ok() {
                // Ends when the reading task drops the sender.
                let _ = receiver.await;
            }
        })
    }
}

/// Returns the error for a request to a target that this body does not serve.
pub(crate) fn not_here(target: &Target, body: &str) -> BusError {
    let message = format!("body {body} does not serve {target}");
    BusError::new(CellError::new(Code::NotFound, message), cbs::Outcome::NotRun)
}
