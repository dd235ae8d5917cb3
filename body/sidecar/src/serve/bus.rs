//! The bus and the terminal of a cell in a process of its own: those of its body.

use std::{sync::Arc, time::Duration};

use cbs::{
    BodyBus, BoxFuture, BusError, CellError, Code, Console, Envelope, EventStream, Outcome,
    Service, Serving, Subscription, TIMEOUT_DEFAULT, Target, Transport, frame,
};

use super::scope::{Scopes, polled};
use crate::{CallError, Peer};

/// Limit of the time until the body takes a line.
const PRINT_TIMEOUT: Duration = TIMEOUT_DEFAULT;

/// Bus that sends everything to the body, which sends it on to its target.
pub(super) struct SidecarBus {
    pub(super) peer: Arc<Peer>,
    pub(super) scopes: Arc<Scopes>,
}

impl SidecarBus {
    async fn send(&self, envelope: Envelope) -> Result<Envelope, BusError> {
        let target = envelope.target()?.clone();
        envelope.check_attributes().map_err(|error| BusError::new(error, Outcome::NotRun))?;
        let timeout = envelope.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let within = self.scopes.within(envelope.causation_id);
        let call = self.peer.request(frame::encode(&envelope), within, None);
        let bytes = match tokio::time::timeout(timeout, call).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(gone)) => return Err(failure(&target, gone)),
            Err(_) => return Err(BusError::timeout(&target, timeout)),
        };
        let reply = self::envelope(bytes)?;
        Ok(Envelope { via: Transport::Ipc, ..reply.answering(&envelope) })
    }
}

/// Reads a reply of the body: framed, or plain.
fn envelope(bytes: cbs::Bytes) -> Result<Envelope, BusError> {
    if !frame::is_frame(&bytes) {
        return Ok(Envelope::reply(bytes));
    }
    let reply = frame::decode(bytes).map_err(|error| {
        let message = format!("the body's reply cannot be read: {error}");
        BusError::new(CellError::new(Code::Internal, message), Outcome::Unknown)
    })?;
    reply.into_result()
}

fn failure(target: &Target, gone: CallError) -> BusError {
    match gone {
        CallError::Ended { end, sent: false } => BusError::unavailable(target, end),
        CallError::Ended { end, sent: true } => {
            let message =
                format!("{target} was called, and then the connection to the body ended: {end}");
            BusError::new(CellError::new(Code::Unavailable, message), Outcome::Unknown)
        }
        CallError::TooLarge { bytes, limit } => BusError::too_large(target, bytes, limit),
        CallError::Full { .. } => BusError::overloaded(target),
    }
}

fn refused<'a, T: 'a + Send>(what: &str) -> BoxFuture<'a, Result<T, BusError>> {
    let message = format!(
        "a cell in a process of its own cannot {what}: a spec says what is served, and by whom"
    );
    let error = BusError::new(CellError::new(Code::Refused, message), Outcome::NotRun);
    Box::pin(std::future::ready(Err(error)))
}

impl BodyBus for SidecarBus {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(self.send(request))
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move { self.send(event).await.map(drop) })
    }

    fn serve(&self, _: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        refused("serve other targets")
    }

    fn subscribe(&self, _: Subscription) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        refused("subscribe to events")
    }
}

/// The terminal of the body's program.
pub(super) struct SidecarConsole(pub(super) Arc<Peer>);

impl Console for SidecarConsole {
    fn print(&self, line: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(async move {
            match tokio::time::timeout(PRINT_TIMEOUT, self.0.print(line, polled())).await {
                Ok(sent) => sent.map_err(|gone| internal(&gone.to_string())),
                Err(_) => Err(internal(&format!(
                    "the body took no line within {} s",
                    PRINT_TIMEOUT.as_secs()
                ))),
            }
        })
    }

    fn ask(&self, question: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(async move {
            let answer =
                self.0.ask(question, polled()).await.map_err(|gone| internal(&gone.to_string()))?;
            let answer = envelope(answer).map_err(BusError::into_error)?;
            serde_json::from_slice(&answer.payload)
                .map_err(|error| internal(&format!("the answer cannot be read: {error}")))
        })
    }
}

fn internal(reason: &str) -> CellError {
    CellError::new(Code::Internal, format!("the body's program cannot be reached: {reason}"))
}
