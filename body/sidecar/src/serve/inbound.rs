//! The requests and notices of the body to a process that serves cells.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use cbs::{
    BoxFuture, BusError, Bytes, CellContext, CellEnv, CellError, CellName, DynCell, Envelope,
    Outcome, TIMEOUT_DEFAULT, Target, frame,
};
use futures::FutureExt;
use tokio::sync::watch;

use super::{
    notes::Outgoing,
    scope::{Scopes, scoped},
};
use crate::{Hold, Inbound, Notice, Peer, proto};

/// Function that returns the numbers of a pong; see [`Options::health`](super::Options::health).
pub(super) type Health = Arc<dyn Fn() -> proto::Pong + Send + Sync>;

/// A cell that has been started.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) cell: Arc<dyn DynCell>,
    pub(super) env: Arc<CellEnv>,
    /// Limit of the time for one call.
    pub(super) timeout: Duration,
}

/// Handler of the body's requests, which go to the cells.
pub(super) struct Cells {
    pub(super) scopes: Arc<Scopes>,
    /// Limit of the notes about one request that the body keeps; 0: it takes none.
    pub(super) notes_max: u32,
    pub(super) serving: OnceLock<Serving>,
    /// Time that the body waits for goodbye, as soon as it has sent drain.
    pub(super) drain: watch::Sender<Option<Duration>>,
}

/// The cells that are served, and the source of pongs.
pub(super) struct Serving {
    pub(super) cells: BTreeMap<CellName, Served>,
    pub(super) health: Health,
}

impl Cells {
    fn begin(
        &self,
        peer: &Arc<Peer>,
        request: proto::Request,
    ) -> Result<BoxFuture<'static, Bytes>, BusError> {
        let envelope = frame::decode(request.envelope)
            .map_err(|error| BusError::bad_request(error.to_string()))?;
        let cells = self.serving.get().map(|serving| &serving.cells);
        let target = envelope.target()?;
        let served = match (target, cells) {
            (Target::Cell(name), Some(cells)) => cells.get(name),
            (_, None) => return Err(BusError::unavailable(target, "it is being started")),
            _ => None,
        };
        let served = served.ok_or_else(|| BusError::not_found(target))?.clone();
        let scopes = self.scopes.clone();
        let id = envelope.id;
        let notes = Outgoing::new(peer.clone(), request.id, self.notes_max);
        Ok(Box::pin(scoped(scopes, id, request.id, answer(served, envelope, notes))))
    }
}

impl Inbound for Cells {
    fn request(
        &self,
        peer: &Arc<Peer>,
        request: proto::Request,
        _: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes> {
        match self.begin(peer, request) {
            Ok(work) => work,
            Err(error) => Box::pin(std::future::ready(failure(error))),
        }
    }

    fn ask(
        &self,
        _: &Arc<Peer>,
        _: proto::Ask,
        _: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes> {
        // The engine of a sidecar passes no questions on.
        Box::pin(std::future::ready(Bytes::from_static(b"null")))
    }

    fn notify(&self, peer: &Arc<Peer>, notice: Notice, _: Hold) {
        match notice {
            Notice::Ping(proto::Ping { nonce }) => {
                let health =
                    self.serving.get().map(|serving| (serving.health)()).unwrap_or_default();
                let in_flight =
                    u32::try_from(peer.accepted()).unwrap_or(u32::MAX).max(health.in_flight);
                peer.pong(proto::Pong { nonce, in_flight, ..health });
            }
            Notice::Drain(timeout) => _ = self.drain.send_replace(Some(timeout)),
            // The engine of a sidecar passes no other notices on.
            _ => {}
        }
    }
}

fn failure(error: BusError) -> Bytes {
    frame::encode(&Envelope::error(error.shortened()))
}

/// Runs a cell within its caller's deadline, and catches its panics.
async fn answer(served: Served, mut request: Envelope, notes: Outgoing) -> Bytes {
    let Served { cell, env, timeout } = served;
    let timeout = request.timeout.map_or(timeout, |wanted| wanted.min(timeout));
    request.timeout = Some(timeout);
    let context = CellContext::new(env, &request);
    let work = AssertUnwindSafe(async { cell.call(&context, request).await }).catch_unwind();
    let mut work = std::pin::pin!(notes.sent(&context, work));
    // A cell that answers at once needs no timer.
    let answered = match work.as_mut().now_or_never() {
        Some(answer) => Ok(answer),
        None => tokio::time::timeout(timeout, work).await,
    };
    match answered {
        Ok(Ok(Ok(reply))) => frame::encode(&reply),
        Ok(Ok(Err(error))) => failure(error.into()),
        Ok(Err(panic)) => {
            context.log().error(format_args!("the cell panicked: {}", message(&*panic)));
            failure(BusError::new(CellError::cell_failed(context.id()), Outcome::Ran))
        }
        Err(_) => failure(BusError::timeout(&context.env().target, timeout)),
    }
}

/// Returns the message of a panic.
pub(super) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why")
}

/// Returns the limit of the time for one call of this cell.
pub(super) fn timeout(cell: &proto::Cell) -> Duration {
    if cell.timeout_ms == 0 { TIMEOUT_DEFAULT } else { Duration::from_millis(cell.timeout_ms) }
}
