//! Slots for connections: their number is limited, and a new connection always gets one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

/// Connections that are served, in the order in which they came.
///
/// If all slots are taken, a new connection gets the slot of the oldest one that has sent no
/// request yet, else that of the oldest one. So clients that send or read slowly never delay a
/// probe.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    limit: usize,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    connections: BTreeMap<u64, Arc<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// True if its request has been received.
    has_asked: AtomicBool,
    /// Cancelled when its slot is given to another connection.
    given_away: CancellationToken,
}

/// The slot of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    number: u64,
    state: Arc<State>,
}

impl ConnectionSlots {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// Takes a slot for a new connection.
    pub(super) fn take(self: &Arc<Self>) -> ConnectionSlot {
        let state = Arc::new(State::default());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.connections.len() >= self.limit {
            let silent =
                open.connections.iter().find(|(_, state)| !state.has_asked.load(Ordering::Relaxed));
            let number =
                silent.or_else(|| open.connections.iter().next()).map(|(number, _)| *number);
            if let Some(state) = number.and_then(|number| open.connections.remove(&number)) {
                state.given_away.cancel();
            }
        }
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, state.clone());
        drop(open);
        ConnectionSlot { slots: self.clone(), number, state }
    }
}

impl ConnectionSlot {
    /// Notes that its request has been received.
    pub(super) fn has_asked(&self) {
        self.state.has_asked.store(true, Ordering::Relaxed);
    }

    /// Waits until the slot is given to another connection.
    pub(super) async fn given_away(&self) {
        self.state.given_away.cancelled().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connections
            .remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_given_away(slot: &ConnectionSlot) -> bool {
        slot.state.given_away.is_cancelled()
    }

    #[test]
    fn a_newcomer_gets_the_place_of_the_oldest_that_has_not_asked_else_of_the_oldest() {
        let slots = ConnectionSlots::new(2);
        let first = slots.take();
        let second = slots.take();
        first.has_asked();
        assert!(!is_given_away(&first) && !is_given_away(&second));
        let third = slots.take();
        assert!(!is_given_away(&first) && is_given_away(&second));
        third.has_asked();
        let _fourth = slots.take();
        assert!(is_given_away(&first) && !is_given_away(&third));
    }

    #[test]
    fn a_place_that_is_left_is_free() {
        let slots = ConnectionSlots::new(1);
        drop(slots.take());
        let first = slots.take();
        let second = slots.take();
        assert!(is_given_away(&first));
        // Leaving a place that was given away takes none from who has it now.
        drop(first);
        assert_eq!(slots.open.lock().unwrap().connections.len(), 1);
        drop(second);
        assert!(slots.open.lock().unwrap().connections.is_empty());
    }
}
