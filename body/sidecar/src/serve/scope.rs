//! The request of the body during which a frame is sent.
//!
//! A call knows the envelope of the request whose handling makes it: its causation id. This works
//! on whatever task or thread the cell makes the call. A line has no such mark: it belongs to the
//! request whose handling is polled on this thread.

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

/// Returns the number of the request whose handling is polled on this thread; 0: none.
pub(super) fn polled() -> u64 {
    POLLED.get()
}

/// The requests that are being handled: the id of each envelope, and its number on this connection.
#[derive(Default)]
pub(super) struct Scopes(Mutex<HashMap<Uuid, u64>>);

impl Scopes {
    /// Returns the number of the request with this envelope, else of the one that is polled.
    pub(super) fn within(&self, envelope: Option<Uuid>) -> u64 {
        let known = envelope.and_then(|id| self.map().get(&id).copied());
        known.unwrap_or_else(polled)
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Uuid, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles a request, so that everything that the work sends is sent within it.
pub(super) async fn scoped<T>(
    scopes: Arc<Scopes>,
    envelope: Uuid,
    number: u64,
    work: impl Future<Output = T>,
) -> T {
    scopes.map().insert(envelope, number);
    let _known = Known { scopes: &scopes, envelope, number };
    let mut work = pin!(work);
    poll_fn(|cx| {
        let _back = Back(POLLED.replace(number));
        work.as_mut().poll(cx)
    })
    .await
}

/// Guard of a known request, which is removed when this is dropped.
struct Known<'a> {
    scopes: &'a Scopes,
    envelope: Uuid,
    number: u64,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        let mut map = self.scopes.map();
        // A retry has the same id as its first attempt, and may run beside it.
        if map.get(&self.envelope) == Some(&self.number) {
            map.remove(&self.envelope);
        }
    }
}

/// Guard that restores the number of the outer request, because one handling may be polled within
/// another's poll.
struct Back(u64);

impl Drop for Back {
    fn drop(&mut self) {
        POLLED.set(self.0);
    }
}
