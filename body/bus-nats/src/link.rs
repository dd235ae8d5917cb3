//! State of the connections of a body, and counters of their errors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::ServerError;
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};

/// Number of ping intervals without a byte from the server after which a client counts as dead,
/// whatever it reports. A client itself gives up an unresponsive server after three.
const SILENT_PINGS: u32 = 5;

/// Subjects that may be denied without harm: flow control of a consumer, and removal of a consumer,
/// which expires soon by itself.
const DISPENSABLE: [&str; 2] = ["\"$JS.FC.", "\"$JS.API.CONSUMER.DELETE."];

/// State of the link between a body and its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// All connections are up.
    Up,
    /// At least one is lost; it is being built again.
    Down,
}

/// Error counters of the connections of a body since it was started. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Connections built again.
    pub reconnects: u64,
    /// Times that the client dropped messages because a subscription's buffer was full.
    pub slow_consumers: u64,
    /// Requests refused because their caller had given up long before.
    pub stale: u64,
    /// Times that another body gave no sign of life and its calls went to others.
    pub ejections: u64,
    /// Errors that the server reported, such as a permission that is missing.
    pub server_errors: u64,
    /// Times that a client ended by itself and was replaced, because it received a message that it
    /// cannot read.
    pub clients_replaced: u64,
}

/// State of all connections of a body, for watchers.
pub(crate) struct Link {
    lost: AtomicUsize,
    state: watch::Sender<LinkState>,
    /// Set once another server than that of the connection has answered for JetStream.
    pub(crate) found_jetstream: AtomicBool,
    /// Last permission error of the server, in its own text.
    denied: watch::Sender<Option<Arc<str>>>,
}

impl Link {
    pub(crate) fn new() -> Self {
        let state = watch::Sender::new(LinkState::Up);
        let found_jetstream = AtomicBool::new(false);
        let denied = watch::Sender::new(None);
        Self { lost: AtomicUsize::new(0), state, found_jetstream, denied }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    pub(crate) fn denials(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.denied.subscribe()
    }

    pub(crate) fn reports(&self, error: &ServerError) {
        if let ServerError::Other(text) = error
            && text.starts_with("Permissions Violation")
            && !DISPENSABLE.iter().any(|subject| text.contains(subject))
        {
            self.denied.send_replace(Some(text.as_str().into()));
        }
    }

    pub(crate) fn one_lost(&self) {
        // Counted while the state is locked: with two connections the last report must be the true
        // one.
        self.state.send_modify(|state| {
            if self.lost.fetch_add(1, Ordering::AcqRel) == 0 {
                tracing::warn!("the connection to NATS is lost; calls fail until it is back");
            }
            *state = LinkState::Down;
        });
    }

    pub(crate) fn one_back(&self) {
        self.state.send_modify(|state| {
            if self.lost.fetch_sub(1, Ordering::AcqRel) == 1 {
                tracing::info!("connected to NATS again");
                *state = LinkState::Up;
            }
        });
    }
}

/// Atomic counters behind [`Counters`].
#[derive(Default)]
pub(crate) struct LinkCounters {
    pub(crate) reconnects: AtomicU64,
    pub(crate) slow_consumers: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) ejections: AtomicU64,
    pub(crate) server_errors: AtomicU64,
    pub(crate) clients_replaced: AtomicU64,
}

impl LinkCounters {
    pub(crate) fn read(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            reconnects: read(&self.reconnects),
            slow_consumers: read(&self.slow_consumers),
            stale: read(&self.stale),
            ejections: read(&self.ejections),
            server_errors: read(&self.server_errors),
            clients_replaced: read(&self.clients_replaced),
        }
    }
}

/// Check of whether a client still reads from its server, which answers its pings.
pub(crate) struct Pulse {
    interval: Interval,
    in_bytes: u64,
    still: u32,
}

impl Pulse {
    pub(crate) fn new(every: Duration) -> Self {
        let mut interval = interval(every.max(Duration::from_millis(100)));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, in_bytes: 0, still: 0 }
    }

    pub(crate) async fn tick(&mut self) {
        self.interval.tick().await;
    }

    /// True if the number of bytes read has not changed for too long.
    pub(crate) fn is_still(&mut self, in_bytes: u64) -> bool {
        self.still = if in_bytes == self.in_bytes { self.still + 1 } else { 0 };
        self.in_bytes = in_bytes;
        self.still >= SILENT_PINGS
    }
}
