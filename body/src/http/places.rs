//! The places for connections: a bounded number, and a newcomer always gets one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

/// Connections that are served, by the order in which they came.
///
/// Where all places are taken, the newcomer gets the place of the oldest connection that has sent no request yet,
/// else that of the oldest one. So those who send or read slowly never keep a probe waiting.
#[derive(Debug)]
pub(super) struct Places {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    connections: BTreeMap<u64, Arc<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether its request is there.
    has_asked: AtomicBool,
    /// Cancelled when its place is given away.
    given_away: CancellationToken,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    state: Arc<State>,
}

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: Mutex::default() })
    }

    /// A place for a connection that has just come.
    pub(super) fn take(self: &Arc<Self>) -> Place {
        let state = Arc::new(State::default());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.connections.len() >= self.limit {
            let silent = taken.connections.iter().find(|(_, state)| !state.has_asked.load(Ordering::Relaxed));
            let number = silent.or_else(|| taken.connections.iter().next()).map(|(number, _)| *number);
            if let Some(state) = number.and_then(|number| taken.connections.remove(&number)) {
                state.given_away.cancel();
            }
        }
        let number = taken.next;
        taken.next += 1;
        taken.connections.insert(number, state.clone());
        drop(taken);
        Place { places: self.clone(), number, state }
    }
}

impl Place {
    /// Its request is there.
    pub(super) fn has_asked(&self) {
        self.state.has_asked.store(true, Ordering::Relaxed);
    }

    /// Waits until the place is given to another connection.
    pub(super) async fn given_away(&self) {
        self.state.given_away.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().unwrap_or_else(PoisonError::into_inner).connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_given_away(place: &Place) -> bool {
        place.state.given_away.is_cancelled()
    }

    #[test]
    fn a_newcomer_gets_the_place_of_the_oldest_that_has_not_asked_else_of_the_oldest() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.take());
        first.has_asked();
        assert!(!is_given_away(&first) && !is_given_away(&second));
        let third = places.take();
        assert!(!is_given_away(&first) && is_given_away(&second));
        third.has_asked();
        let _fourth = places.take();
        assert!(is_given_away(&first) && !is_given_away(&third));
    }

    #[test]
    fn a_place_that_is_left_is_free() {
        let places = Places::new(1);
        drop(places.take());
        let first = places.take();
        let second = places.take();
        assert!(is_given_away(&first));
        // Leaving a place that was given away takes none from who has it now.
        drop(first);
        assert_eq!(places.taken.lock().unwrap().connections.len(), 1);
        drop(second);
        assert!(places.taken.lock().unwrap().connections.is_empty());
    }
}
