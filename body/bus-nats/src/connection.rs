//! One connection: its client, its inbox, whether it is up, and the barrier.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, Event, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connect::RECONNECT_DELAY_MAX,
    inbox::{Inbox, InboxReader},
};

/// How long a barrier waits before it says that the server does not answer.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a barrier waits for its answer before it asks again: the connection that answers may just be
/// building itself again.
const BARRIER_AGAIN: Duration = Duration::from_millis(250);
/// For so long after a connection was built again, nobody to take a call does not mean that there
/// is nobody: others try once in [`RECONNECT_DELAY_MAX`] to come back.
const BACK_LATELY: Duration = RECONNECT_DELAY_MAX.saturating_mul(2);

/// Whether a body reaches its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// All connections stand.
    Up,
    /// At least one is lost; it is being built again.
    Down,
}

/// What went wrong on the connections of a body, since it was started. Each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Connections built again.
    pub reconnects: u64,
    /// Times that the client dropped messages because a subscription's buffer was full.
    pub slow_consumers: u64,
    /// Requests refused because their caller had long given up.
    pub stale: u64,
    /// Times that another body gave no sign of life and its calls went to others.
    pub ejections: u64,
    /// Errors that the server reported, such as a permission that is missing.
    pub server_errors: u64,
}

/// Whether all connections of a body stand, for those who watch.
pub(crate) struct Link {
    lost: AtomicUsize,
    state: watch::Sender<LinkState>,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self { lost: AtomicUsize::new(0), state: watch::Sender::new(LinkState::Up) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    fn one_lost(&self) {
        // Counted while the state is held: with two connections the last word must be the true one.
        self.state.send_modify(|state| {
            if self.lost.fetch_add(1, Ordering::AcqRel) == 0 {
                tracing::warn!("the connection to NATS is lost; calls fail until it is back");
            }
            *state = LinkState::Down;
        });
    }

    fn one_back(&self) {
        self.state.send_modify(|state| {
            if self.lost.fetch_sub(1, Ordering::AcqRel) == 1 {
                tracing::info!("connected to NATS again");
                *state = LinkState::Up;
            }
        });
    }
}

/// [`Counters`] as they are counted.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) reconnects: AtomicU64,
    pub(crate) slow_consumers: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) ejections: AtomicU64,
    pub(crate) server_errors: AtomicU64,
}

impl Tally {
    pub(crate) fn read(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            reconnects: read(&self.reconnects),
            slow_consumers: read(&self.slow_consumers),
            stale: read(&self.stale),
            ejections: read(&self.ejections),
            server_errors: read(&self.server_errors),
        }
    }
}

/// One connection to the server.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) inbox: Inbox,
    /// Where a barrier is sent. `None`: to the connection's own inbox.
    barrier: Option<Subject>,
    up: AtomicBool,
    /// When it was last built again, in milliseconds since 1970; 0: never.
    back_ms: AtomicU64,
    /// Those who read the inbox and follow the client's events. They outlive the body's other
    /// tasks, which may wait for replies while they end.
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Connection {
    /// `barrier` is the subject of its barriers where its own messages do not come back to it.
    pub(crate) fn new(client: Client, inbox: Inbox, barrier: Option<Subject>) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { client, inbox, barrier, up: AtomicBool::new(true), back_ms: AtomicU64::new(0), tasks, stop }
    }

    /// Starts to read the inbox and to follow the client's events, until the connection is closed.
    pub(crate) fn start(
        self: &Arc<Self>,
        reader: InboxReader,
        events: mpsc::Receiver<Event>,
        link: Arc<Link>,
        tally: Arc<Tally>,
    ) {
        let (stop_reader, stop_events) = (self.stop.clone(), self.stop.clone());
        self.tasks.spawn(async move { stop_reader.run_until_cancelled(reader.run()).await });
        let follow = self.clone().follow(events, link, tally);
        self.tasks.spawn(async move { stop_events.run_until_cancelled(follow).await });
    }

    /// Whether it was built again so lately that others may not be back yet.
    pub(crate) fn is_back_lately(&self) -> bool {
        let since = cbs::now_ms().saturating_sub(self.back_ms.load(Ordering::Relaxed));
        Duration::from_millis(since) < BACK_LATELY
    }

    /// Whether the connection stands as far as this side knows.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Ends the connection for good.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // Nobody is left to bring it up again.
        self.up.store(false, Ordering::Relaxed);
        self.inbox.give_up();
        // Ends the socket. With the server gone there may be no room for the word, and no socket.
        let _ = self.client.drain().now_or_never();
    }

    /// Goes to the server and back: all that was sent before on this connection has been
    /// taken by the server, and all that the server sent before has been received.
    /// `flush` of async-nats says neither.
    ///
    /// It is a message to the connection's own inbox, or, where the server does not echo, a request that the
    /// body's other connection answers. Whatever comes to its inbox proves that the server has taken it, also
    /// the answer of somebody else who listens, and the server's that nobody does: so it does not
    /// matter who else subscribes to the subject.
    pub(crate) async fn barrier(&self) -> Result<(), &'static str> {
        let (reply, mut expected) = self.inbox.expect();
        // Checked after the inbox knows of it: a loss from here on ends its waiting.
        if !self.is_up() {
            return Err("the connection to the server is lost");
        }
        let round = async {
            loop {
                let sent = match &self.barrier {
                    Some(subject) => self.client.publish_with_reply(subject.clone(), reply.clone(), Bytes::new()).await,
                    None => self.client.publish(reply.clone(), Bytes::new()).await,
                };
                sent.map_err(|_| "the connection is closed")?;
                if let Ok(answer) = tokio::time::timeout(BARRIER_AGAIN, expected.message()).await {
                    return answer.map(drop).ok_or("the connection to the server was lost");
                }
            }
        };
        tokio::time::timeout(BARRIER_TIMEOUT, round).await.unwrap_or(Err("the server does not answer"))
    }

    /// Answers the barriers of the body's other connection until this one is closed.
    pub(crate) fn answer_barriers(self: &Arc<Self>, mut barriers: Subscriber) {
        let (connection, stop) = (self.clone(), self.stop.clone());
        let answering = async move {
            while let Some(barrier) = barriers.next().await {
                let Some(reply_to) = barrier.reply else { continue };
                if let Err(error) = connection.client.publish(reply_to, Bytes::new()).await {
                    tracing::warn!(%error, "a barrier could not be answered");
                }
            }
        };
        self.tasks.spawn(async move { stop.run_until_cancelled(answering).await });
    }

    /// Follows the client's events until the connection is closed.
    async fn follow(self: Arc<Self>, mut events: mpsc::Receiver<Event>, link: Arc<Link>, tally: Arc<Tally>) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Connected if !self.up.swap(true, Ordering::Relaxed) => {
                    self.back_ms.store(cbs::now_ms(), Ordering::Relaxed);
                    tally.reconnects.fetch_add(1, Ordering::Relaxed);
                    link.one_back();
                }
                Event::Disconnected | Event::Closed => {
                    if self.up.swap(false, Ordering::Relaxed) {
                        link.one_lost();
                    }
                    self.inbox.give_up();
                }
                Event::SlowConsumer(subscription) => {
                    tally.slow_consumers.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(subscription, "messages were dropped: a subscription's buffer is full");
                }
                Event::ServerError(error) => {
                    tally.server_errors.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "the NATS server reports an error");
                }
                Event::ClientError(error) => tracing::debug!(%error, "NATS client error"),
                Event::LameDuckMode => tracing::info!("the NATS server is about to stop; moving to another"),
                Event::Connected | Event::Draining => {}
            }
        }
    }
}

/// Whether the server says that nobody listens to the subject.
pub(crate) fn is_no_responders(message: &Message) -> bool {
    message.status == Some(StatusCode::NO_RESPONDERS)
}
