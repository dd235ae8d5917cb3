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
    /// Number of this process within the cell, from 0.
    pub(crate) number: u32,
    pub(crate) peer: Arc<Peer>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) inbound: Arc<InboundHandler>,
    /// Limit of the calls that it takes at once.
    pub(crate) capacity: usize,
    /// Number of calls that hold a slot in it. It is changed under the process pool's lock alone.
    leases: AtomicUsize,
    /// Time since which no call holds a slot.
    idle: Mutex<Instant>,
    /// Notified when the last slot is given back.
    vacated: Notify,
}

impl PooledProcess {
    pub(crate) fn new(
        number: u32,
        peer: Arc<Peer>,
        heartbeat: Arc<Heartbeat>,
        inbound: Arc<InboundHandler>,
        capacity: usize,
    ) -> Arc<Self> {
        let leases = AtomicUsize::new(0);
        let idle = Mutex::new(Instant::now());
        let vacated = Notify::new();
        Arc::new(Self { number, peer, heartbeat, inbound, capacity, leases, idle, vacated })
    }

    /// Takes a slot for a call.
    pub(crate) fn take(&self) {
        self.leases.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives the slot of a call back.
    pub(crate) fn give_back(&self) {
        if self.leases.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            self.vacated.notify_one();
        }
    }

    fn leases(&self) -> usize {
        self.leases.load(Ordering::Relaxed)
    }

    /// Returns the number of calls that it works on. Abandoned calls count until it has answered
    /// them.
    pub(crate) fn load(&self) -> usize {
        self.leases().max(self.peer.unanswered())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.leases() >= self.capacity
    }

    /// True if it has had no call for at least this long.
    pub(crate) fn is_idle_for(&self, limit: Duration) -> bool {
        self.leases() == 0
            && self.idle.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= limit
    }

    /// Waits until no call holds a slot in it. Only the process's own task may wait so.
    pub(crate) async fn vacant(&self) {
        while self.leases() > 0 {
            self.vacated.notified().await;
        }
    }
}
