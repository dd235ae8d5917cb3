//! Calls to the cells of one body without the queue group:
//! `cbs.<ns>.body.<id>.cell.<organ>.<cell>`, a single wildcard subscription per body.

use std::sync::Arc;

use async_nats::Message;
use cbs::{BusError, CellError, CellName, Code, Outcome, Target};
use futures::StreamExt;
use tokio_util::task::TaskTracker;

use crate::{
    message::{form_of, write_error},
    register::Register,
    serve::{Answering, not_here},
    subscription::Subscription,
};

/// Limit of the requests to this body alone that run at the same time. Reading pauses at the limit.
const PENDING_MAX: usize = 4_096;

/// Answers requests to this body's cells until the connection is closed.
pub(crate) async fn run(
    subscriber: Subscription,
    register: Arc<Register>,
    answering: Arc<Answering>,
) {
    subscriber
        .for_each_concurrent(PENDING_MAX, |message| answer(message, &register, &answering))
        .await;
}

async fn answer(message: Message, register: &Register, answering: &Answering) {
    let Some(target) = target_of(&message.subject) else {
        return refuse(message, nameless(), answering).await;
    };
    let served = register.find(&target);
    // The token makes the cell's stop wait for this answer. It is taken before the check whether
    // the cell stops.
    let token = served.as_ref().map(|served| TaskTracker::token(&served.per_body));
    match served {
        Some(served) if !served.per_body.is_closed() => served.answer(message).await,
        _ => refuse(message, not_here(&target, &answering.body), answering).await,
    }
    drop(token);
}

/// Returns the error for a subject that ends with no cell's name.
fn nameless() -> BusError {
    BusError::new(CellError::new(Code::NotFound, "the subject names no cell"), Outcome::NotRun)
}

async fn refuse(mut message: Message, error: BusError, answering: &Answering) {
    let Some(reply_to) = message.reply.take() else { return };
    let client = answering.connection.client();
    let (headers, payload) = write_error(form_of(&message), &answering.body, error);
    let sent = match headers {
        None => client.publish(reply_to, payload).await,
        Some(headers) => client.publish_with_headers(reply_to, headers, payload).await,
    };
    if let Err(error) = sent {
        tracing::warn!(%error, "a refusal could not be sent");
    }
}

/// Returns the cell that a subject of this body names: its last two parts.
fn target_of(subject: &str) -> Option<Target> {
    let cell_at = subject.rmatch_indices('.').nth(1)?.0 + 1;
    subject.get(cell_at..)?.parse::<CellName>().ok().map(Target::Cell)
}
