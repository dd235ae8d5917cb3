//! One call over NATS: from envelope to reply.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use async_nats::{Message, Subject};
use cbs::{BusError, CellError, Code, Envelope, Outcome, TIMEOUT_DEFAULT, Target, frame};

use crate::{
    connection::{Connection, is_no_responders},
    eject::{Members, is_sample},
    message::read_reply,
};

/// Waits before a call that found no responder is sent again. A new subscription takes about this
/// time to reach the other nodes of the server.
const NO_RESPONDERS_WAITS: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(30), Duration::from_millis(80)];

/// Targets that specs declare: if nobody serves one, the error is `unavailable` rather than
/// `not-found`.
pub(crate) type DeclaredTargets = Arc<ArcSwap<std::collections::HashSet<Target>>>;

/// Result of sending a request once.
enum Sent {
    /// A reply, and the number of its call on the connection.
    Reply(Message, u64),
    NoResponders,
}

/// Sends a request to a subject and waits for the reply.
pub(crate) async fn call(
    connection: &Connection,
    declared: &DeclaredTargets,
    members: &Arc<Members>,
    request: &mut Envelope,
    subject: String,
) -> Result<Envelope, BusError> {
    // The subject says the target.
    let target = request
        .target
        .take()
        .ok_or_else(|| BusError::bad_request("the envelope names no target"))?;
    let timeout = *request.timeout.get_or_insert(TIMEOUT_DEFAULT);
    if timeout.is_zero() {
        let error = CellError::new(Code::Timeout, format!("no time is left to call {target}"));
        return Err(BusError::new(error, Outcome::NotRun));
    }
    let subject = Subject::from(subject);
    let deadline = Instant::now() + timeout.min(Duration::from_secs(86_400));
    let mut waits = NO_RESPONDERS_WAITS.iter();
    let attempts = async {
        loop {
            match send(connection, request, &target, &subject).await? {
                Sent::Reply(message, number) => {
                    let mut reply = read_reply(message)?;
                    if is_sample(number) {
                        members.answered(&target, &reply.source.body);
                    }
                    reply.answer(request);
                    return Ok(reply);
                }
                Sent::NoResponders => {}
            }
            let Some(wait) = waits.next() else {
                return Err(nobody(connection, declared, &target));
            };
            tokio::time::sleep(*wait).await;
            request.resend(deadline.saturating_duration_since(Instant::now()));
        }
    };
    match tokio::time::timeout_at(deadline.into(), attempts).await {
        Ok(done) => done,
        Err(_) => {
            members.timed_out(&target);
            Err(BusError::timeout(&target, timeout))
        }
    }
}

async fn send(
    connection: &Connection,
    request: &Envelope,
    target: &Target,
    subject: &Subject,
) -> Result<Sent, BusError> {
    request.check_attributes().map_err(|error| BusError::new(error, Outcome::NotRun))?;
    let frame = frame::encode(request);
    let limit = connection.client().max_payload();
    if frame.len() > limit {
        return Err(BusError::too_large(target, frame.len(), limit));
    }
    let mut waited = connection.inbox.expect();
    // Checked after the call is in the inbox: from here on, a loss of the connection ends its
    // waiting.
    if !connection.is_up() && connection.is_up_soon().await {
        // A call from before the loss ends with the connection that was lost.
        waited = connection.inbox.expect();
    }
    let (reply, mut expected) = waited;
    if !connection.is_up() {
        return Err(BusError::unavailable(target, "the connection to NATS is lost"));
    }
    let sent = connection.client().publish_with_reply(subject.clone(), reply, frame).await;
    sent.map_err(|error| BusError::unavailable(target, error))?;
    match expected.message().await {
        Some(message) if is_no_responders(&message) => Ok(Sent::NoResponders),
        Some(message) => Ok(Sent::Reply(message, expected.number())),
        None => Err(lost(target)),
    }
}

/// Returns the error for a connection that was lost during the call: it is unknown whether the call
/// ran.
fn lost(target: &Target) -> BusError {
    let message = format!("the connection to NATS was lost while waiting for {target}");
    BusError::new(CellError::new(Code::Unavailable, message).retryable(), Outcome::Unknown)
}

fn nobody(connection: &Connection, declared: &DeclaredTargets, target: &Target) -> BusError {
    if declared.load().contains(target) {
        BusError::unavailable(target, "no body serves it now")
    } else if connection.is_back_lately() {
        BusError::unavailable(target, "the connection to NATS is back, and no body serves it yet")
    } else {
        BusError::not_found(target)
    }
}
