//! One connection: its client, its inbox, its state, and the barrier.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, Event, Message, StatusCode, Subject, SubscribeError, connection::State};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ConnectError, ConnectErrorKind, Options,
    connect::{Purpose, RECONNECT_DELAY_MAX, RECONNECT_DELAY_MIN, connect, shown},
    inbox::Inbox,
    link::{Link, LinkCounters, Pulse},
    subscription::{Subscription, Subscriptions},
};

/// Time after which a barrier reports that the server does not answer.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after which a barrier that has no answer asks again: the other connection, which answers,
/// may just be reconnecting.
const BARRIER_AGAIN: Duration = Duration::from_millis(250);
/// Time after a reconnect during which a call without a responder does not mean that there is no
/// responder: other bodies try once per [`RECONNECT_DELAY_MAX`] to come back.
const BACK_LATELY: Duration = RECONNECT_DELAY_MAX.saturating_mul(2);
/// Time during which a call waits for a lost connection to come back. A client that receives a
/// message it cannot read loses its connection, and has a new one within some milliseconds.
const BLIP: Duration = Duration::from_millis(250);

/// One connection to the server.
pub(crate) struct Connection {
    options: Options,
    purpose: Purpose,
    /// Subscriptions and their client. A client that ends by itself is replaced by a new one.
    subscriptions: Arc<Subscriptions>,
    pub(crate) inbox: Inbox,
    /// Subject that a barrier is sent to. `None`: the connection's own inbox.
    barrier: Option<Subject>,
    up: AtomicBool,
    /// Time of the last loss, in milliseconds since 1970.
    lost_ms: AtomicU64,
    /// Wakes tasks that wait for the connection to be built again.
    back: Notify,
    /// Time when it was last built again, in milliseconds since 1970; 0: never.
    back_ms: AtomicU64,
    /// Tasks that read the inbox and handle the client's events. They end after the body's other
    /// tasks, which may wait for replies while they end.
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Connection {
    /// Connects. The inbox is `<prefix of the body>.<name>`. Reads the inbox and handles the
    /// client's events until the connection is closed.
    pub(crate) async fn open(
        options: &Options,
        purpose: Purpose,
        inbox: String,
        link: &Arc<Link>,
        counters: &Arc<LinkCounters>,
    ) -> Result<Arc<Self>, ConnectError> {
        let (client, events) = connect(options, purpose).await?;
        let subscriptions = Arc::new(Subscriptions::of(client));
        let opened = Inbox::open(&subscriptions, inbox).await;
        let (inbox, reader) = opened.map_err(|error| closed(options, &error))?;
        // The server does not echo messages to the connection that serves: the body's other
        // connection answers.
        let barrier = (purpose == Purpose::Serve).then(|| {
            Subject::from(String::from(cbs::Subject::of_barrier(&options.namespace, &options.body)))
        });
        let connection = Arc::new(Self {
            options: options.clone(),
            purpose,
            subscriptions,
            inbox,
            barrier,
            up: AtomicBool::new(true),
            lost_ms: AtomicU64::new(0),
            back: Notify::new(),
            back_ms: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let stop_reader = connection.stop.clone();
        let stop_events = connection.stop.clone();
        connection.tasks.spawn(async move { stop_reader.run_until_cancelled(reader.run()).await });
        let follow = connection.clone().follow(events, link.clone(), counters.clone());
        connection.tasks.spawn(async move { stop_events.run_until_cancelled(follow).await });
        Ok(connection)
    }

    /// Returns the current client. A copy that is kept does not change when a new client replaces
    /// it.
    pub(crate) fn client(&self) -> Arc<Client> {
        self.subscriptions.client()
    }

    /// Subscribes, until the subscription is dropped or the connection is closed.
    pub(crate) async fn subscribe(
        &self,
        subject: String,
        group: Option<String>,
    ) -> Result<Subscription, SubscribeError> {
        self.subscriptions.add(subject, group).await
    }

    /// True if the connection came back so recently that other bodies may not be back yet.
    pub(crate) fn is_back_lately(&self) -> bool {
        let since = cbs::now_ms().saturating_sub(self.back_ms.load(Ordering::Relaxed));
        Duration::from_millis(since) < BACK_LATELY
    }

    /// True if the connection is up, as far as this side knows.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// True if the connection is up. If it was lost just now, waits a moment for it to come back.
    pub(crate) async fn is_up_soon(&self) -> bool {
        if self.is_up() {
            return true;
        }
        let back = self.back.notified();
        let lost = Duration::from_millis(
            cbs::now_ms().saturating_sub(self.lost_ms.load(Ordering::Relaxed)),
        );
        let Some(wait) = BLIP.checked_sub(lost) else { return self.is_up() };
        self.is_up() || tokio::time::timeout(wait, back).await.is_ok()
    }

    /// Ends the connection for good.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // No task is left that would connect again.
        self.up.store(false, Ordering::Relaxed);
        self.inbox.give_up();
        // Ends the socket. If the server is gone, the command may not be accepted, and there is no
        // socket.
        let _ = self.client().drain().now_or_never();
        self.subscriptions.end();
    }

    /// Sends a message to the server and waits for it to come back. Then the server has taken all
    /// that was sent before on this connection, and all that the server sent before has been
    /// received. `flush` of async-nats promises neither.
    ///
    /// The message goes to the connection's own inbox. If the server does not echo, it is a request
    /// that the body's other connection answers. Any message that comes to the inbox is proof that
    /// the server has taken the request: also the answer of another subscriber, and the server's
    /// report that there is no responder. So other subscribers to the subject do not matter.
    pub(crate) async fn barrier(&self) -> Result<(), &'static str> {
        let (reply, mut expected) = self.inbox.expect();
        // Checked after the inbox has the entry: from here on, a loss of the connection ends its
        // waiting.
        if !self.is_up() {
            return Err("the connection to the server is lost");
        }
        let client = self.client();
        let round = async {
            loop {
                let sent = match &self.barrier {
                    Some(subject) => {
                        client
                            .publish_with_reply(subject.clone(), reply.clone(), Bytes::new())
                            .await
                    }
                    None => client.publish(reply.clone(), Bytes::new()).await,
                };
                sent.map_err(|_| "the connection is closed")?;
                if let Ok(answer) = tokio::time::timeout(BARRIER_AGAIN, expected.message()).await {
                    return answer.map(drop).ok_or("the connection to the server was lost");
                }
            }
        };
        tokio::time::timeout(BARRIER_TIMEOUT, round)
            .await
            .unwrap_or(Err("the server does not answer"))
    }

    /// Answers the barriers of the body's other connection until this one is closed.
    pub(crate) fn answer_barriers(self: &Arc<Self>, mut barriers: Subscription) {
        let connection = self.clone();
        let stop = self.stop.clone();
        let answering = async move {
            while let Some(barrier) = barriers.next().await {
                let Some(reply_to) = barrier.reply else { continue };
                if let Err(error) = connection.client().publish(reply_to, Bytes::new()).await {
                    tracing::warn!(%error, "a barrier could not be answered");
                }
            }
        };
        self.tasks.spawn(async move { stop.run_until_cancelled(answering).await });
    }

    /// Handles the client's events until the connection is closed. A client whose events end has
    /// ended by itself, whatever state it reports. A client that no longer reads has also ended.
    async fn follow(
        self: Arc<Self>,
        mut events: mpsc::Receiver<Event>,
        link: Arc<Link>,
        counters: Arc<LinkCounters>,
    ) {
        let mut pulse = Pulse::new(self.options.ping_interval);
        loop {
            let why = loop {
                tokio::select! {
                    event = events.recv() => match event {
                        Some(event) => self.event(event, &link, &counters),
                        None => break "has ended on a message that it cannot read, with a malformed header",
                    },
                    () = pulse.tick() => {
                        let client = self.client();
                        self.agree(&client.connection_state(), &link, &counters);
                        if self.is_up() && pulse.is_still(client.statistics().in_bytes.load(Ordering::Relaxed)) {
                            break "reads nothing any more";
                        }
                    }
                }
            };
            self.is_lost(&link);
            tracing::error!(
                "the NATS client of a connection {why}; a new one takes its place (runbook: CbsNatsFlapping)"
            );
            events = self.renew().await;
            counters.clients_replaced.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn event(&self, event: Event, link: &Link, counters: &LinkCounters) {
        match event {
            Event::Connected => self.is_back(link, counters),
            Event::Disconnected | Event::Closed => self.is_lost(link),
            Event::SlowConsumer(subscription) => {
                counters.slow_consumers.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    subscription,
                    "messages were dropped: a subscription's buffer is full"
                );
            }
            Event::ServerError(error) => {
                counters.server_errors.fetch_add(1, Ordering::Relaxed);
                link.reports(&error);
                tracing::warn!(%error, "the NATS server reports an error");
            }
            Event::ClientError(error) => tracing::debug!(%error, "NATS client error"),
            Event::LameDuckMode => {
                tracing::info!("the NATS server is about to stop; moving to another");
            }
            Event::Draining => {}
        }
    }

    /// Compares the known state with the state that the client reports: in a flood of events one
    /// may be lost.
    fn agree(&self, state: &State, link: &Link, counters: &LinkCounters) {
        match state {
            State::Connected => self.is_back(link, counters),
            State::Disconnected => self.is_lost(link),
            State::Pending => {}
        }
    }

    fn is_back(&self, link: &Link, counters: &LinkCounters) {
        if !self.up.swap(true, Ordering::Relaxed) {
            let lost = Duration::from_millis(
                cbs::now_ms().saturating_sub(self.lost_ms.load(Ordering::Relaxed)),
            );
            if lost < BLIP {
                let ms = lost.as_millis();
                tracing::warn!(
                    "the connection to NATS was lost for {ms} ms: either the server cut it off, or it brought a message \
                     with a malformed header or subject, which the client cannot read (runbook: CbsNatsFlapping)"
                );
            }
            self.back_ms.store(cbs::now_ms(), Ordering::Relaxed);
            counters.reconnects.fetch_add(1, Ordering::Relaxed);
            link.one_back();
            self.back.notify_waiters();
        }
    }

    fn is_lost(&self, link: &Link) {
        if self.up.swap(false, Ordering::Relaxed) {
            self.lost_ms.store(cbs::now_ms(), Ordering::Relaxed);
            link.one_lost();
        }
        self.inbox.give_up();
    }

    /// Replaces a client that has ended by a new one, with all its subscriptions. The first event
    /// of the new client is that it is connected.
    async fn renew(&self) -> mpsc::Receiver<Event> {
        let mut wait = RECONNECT_DELAY_MIN;
        loop {
            let renewed = async {
                let (client, events) = connect(&self.options, self.purpose).await?;
                let handed = self.subscriptions.hand_to(client).await;
                handed.map_err(|error| closed(&self.options, &error))?;
                Ok::<_, ConnectError>(events)
            };
            match Box::pin(renewed).await {
                Ok(events) => return events,
                Err(error) => tracing::debug!(%error, "no new connection yet"),
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(RECONNECT_DELAY_MAX);
        }
    }
}

pub(crate) fn closed(options: &Options, error: &SubscribeError) -> ConnectError {
    ConnectError {
        kind: ConnectErrorKind::Protocol,
        message: format!(
            "the NATS server at {} closed the connection ({error})",
            shown(&options.url)
        ),
        hint: "see the server's log".to_owned(),
    }
}

/// True if the server reports that nobody subscribes to the subject.
pub(crate) fn is_no_responders(message: &Message) -> bool {
    message.status == Some(StatusCode::NO_RESPONDERS)
}
