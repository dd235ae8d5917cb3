//! A process that takes calls.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sidecar::Peer;
use tokio::sync::Notify;

use crate::{heartbeat::Heartbeat, inbound_handler::InboundHandler};

/// A process that takes calls.
pub(crate) struct PooledProcess {
    /// Which of the cell's processes it is, from 0.
    pub(crate) number: u32,
    pub(crate) peer: Arc<Peer>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) inbound: Arc<InboundHandler>,
    /// The most calls that it takes at once.
    pub(crate) room: usize,
    /// Calls that hold a place in it; changed under the crew's lock alone.
    leases: AtomicUsize,
    /// Since when none does.
    idle: Mutex<Instant>,
    /// Told when the last place is given back.
    vacated: Notify,
}

impl PooledProcess {
    pub(crate) fn new(
        number: u32,
        peer: Arc<Peer>,
        heartbeat: Arc<Heartbeat>,
        inbound: Arc<InboundHandler>,
        room: usize,
    ) -> Arc<Self> {
        let (leases, idle, vacated) = (AtomicUsize::new(0), Mutex::new(Instant::now()), Notify::new());
        Arc::new(Self { number, peer, heartbeat, inbound, room, leases, idle, vacated })
    }

    /// A call takes a place in it.
    pub(crate) fn take(&self) {
        self.leases.fetch_add(1, Ordering::Relaxed);
    }

    /// A call gives its place back.
    pub(crate) fn give_back(&self) {
        if self.leases.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            self.vacated.notify_one();
        }
    }

    fn leases(&self) -> usize {
        self.leases.load(Ordering::Relaxed)
    }

    /// How busy it is: given up calls count until it has answered them.
    pub(crate) fn load(&self) -> usize {
        self.leases().max(self.peer.unanswered())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.leases() >= self.room
    }

    /// Whether it has had no call for so long.
    pub(crate) fn is_idle_for(&self, limit: Duration) -> bool {
        self.leases() == 0 && self.idle.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= limit
    }

    /// Waits until no call holds a place in it. Only the process's own task waits so.
    pub(crate) async fn vacant(&self) {
        while self.leases() > 0 {
            self.vacated.notified().await;
        }
    }
}
