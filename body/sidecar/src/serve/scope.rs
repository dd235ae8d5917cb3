//! Within which of the body's requests something is sent.
//!
//! A call knows the envelope of the request whose handling makes it: its causation id. That
//! holds on whatever task or thread the cell makes the call. A line has no such mark; it belongs
//! to the request whose handling is polled on this thread.

use std::{
    cell::Cell,
    collections::HashMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cbs::Uuid;

thread_local! {
    /// The number of the request whose handling is polled on this thread; 0: none.
    static POLLED: Cell<u64> = const { Cell::new(0) };
}

/// The number of the request whose handling is polled on this thread; 0: none.
pub(super) fn polled() -> u64 {
    POLLED.get()
}

/// The requests that are being handled: the id of the envelope, and the number on this connection.
#[derive(Default)]
pub(super) struct Scopes(Mutex<HashMap<Uuid, u64>>);

impl Scopes {
    /// The number of the request with this envelope, else of the one that is polled.
    pub(super) fn within(&self, envelope: Option<Uuid>) -> u64 {
        let known = envelope.and_then(|id| self.map().get(&id).copied());
        known.unwrap_or_else(polled)
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Uuid, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles a request: what the work sends is sent within it.
pub(super) async fn scoped<T>(scopes: Arc<Scopes>, envelope: Uuid, number: u64, work: impl Future<Output = T>) -> T {
    scopes.map().insert(envelope, number);
    let _known = Known { scopes: &scopes, envelope, number };
    let mut work = pin!(work);
    poll_fn(|cx| {
        let _back = Back(POLLED.replace(number));
        work.as_mut().poll(cx)
    })
    .await
}

/// The request is known while this lives.
struct Known<'a> {
    scopes: &'a Scopes,
    envelope: Uuid,
    number: u64,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        let mut map = self.scopes.map();
        // A retry has the id of its first attempt, and may run beside it.
        if map.get(&self.envelope) == Some(&self.number) {
            map.remove(&self.envelope);
        }
    }
}

/// Handlings may be polled within one another's polls.
struct Back(u64);

impl Drop for Back {
    fn drop(&mut self) {
        POLLED.set(self.0);
    }
}
