//! Subscriptions that do not end with their client: if a client has ended by itself, a new one
//! takes them over.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures::{Stream, task::AtomicWaker};

/// A subscription of a [`Connection`](crate::connection::Connection). Ends when it is unsubscribed
/// or when the connection is closed; not when its client ends.
pub(crate) struct Subscription {
    subscriber: Subscriber,
    slot: Arc<SubscriptionSlot>,
    all: Arc<Subscriptions>,
}

/// Subject of a subscription, and the slot where a new client's subscriber is left for it.
struct SubscriptionSlot {
    number: u64,
    subject: String,
    group: Option<String>,
    /// Set if something is in `handover`. While it is not set, nothing else is read.
    has_handover: AtomicBool,
    /// Waker of the task that waits for the subscription.
    waker: AtomicWaker,
    handover: Mutex<Handover>,
}

#[derive(Default)]
struct Handover {
    next: Option<Subscriber>,
    /// No other subscriber will come.
    over: bool,
}

impl SubscriptionSlot {
    fn lock(&self) -> MutexGuard<'_, Handover> {
        self.handover.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn subscribe(&self, client: &Client) -> Result<Subscriber, SubscribeError> {
        match &self.group {
            Some(group) => client.queue_subscribe(self.subject.clone(), group.clone()).await,
            None => client.subscribe(self.subject.clone()).await,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Handover)) {
        change(&mut self.lock());
        self.has_handover.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// The client of a connection and its subscriptions.
pub(crate) struct Subscriptions {
    client: ArcSwap<Client>,
    /// Locked by a caller that subscribes, and while a new client is set: each subscription has one
    /// subscriber.
    changing: tokio::sync::Mutex<()>,
    slots: Mutex<SlotTable>,
}

#[derive(Default)]
struct SlotTable {
    next: u64,
    by_number: HashMap<u64, Arc<SubscriptionSlot>>,
}

impl Subscriptions {
    pub(crate) fn of(client: Client) -> Self {
        let (changing, slots) = Default::default();
        Self { client: ArcSwap::from_pointee(client), changing, slots }
    }

    /// Returns the current client.
    pub(crate) fn client(&self) -> Arc<Client> {
        self.client.load_full()
    }

    fn lock(&self) -> MutexGuard<'_, SlotTable> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes.
    pub(crate) async fn add(
        self: &Arc<Self>,
        subject: String,
        group: Option<String>,
    ) -> Result<Subscription, SubscribeError> {
        let _changing = self.changing.lock().await;
        let number = {
            let mut slots = self.lock();
            slots.next += 1;
            slots.next
        };
        let slot = Arc::new(SubscriptionSlot {
            number,
            subject,
            group,
            has_handover: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            handover: Mutex::default(),
        });
        let subscriber = slot.subscribe(&self.client()).await?;
        self.lock().by_number.insert(number, slot.clone());
        Ok(Subscription { subscriber, slot, all: self.clone() })
    }

    /// Subscribes all of them again with this client, which replaces the one before.
    pub(crate) async fn hand_to(&self, client: Client) -> Result<(), SubscribeError> {
        let _changing = self.changing.lock().await;
        let slots: Vec<_> = self.lock().by_number.values().cloned().collect();
        for slot in slots {
            let subscriber = slot.subscribe(&client).await?;
            slot.change(|handover| {
                // Dropped if it is over: that unsubscribes.
                handover.next = (!handover.over).then_some(subscriber);
            });
        }
        self.client.store(Arc::new(client));
        Ok(())
    }

    /// Ends all of them once they have returned the messages that they hold.
    pub(crate) fn end(&self) {
        let slots: Vec<_> = self.lock().by_number.drain().map(|(_, slot)| slot).collect();
        slots.iter().for_each(|slot| slot.change(|handover| handover.over = true));
    }
}

impl Subscription {
    /// Asks the server to send no more, while the client keeps the subscription. This uses a quirk
    /// of async-nats, which the tests of stopping check. Returns true if the server was asked.
    pub(crate) async fn stop_sending(&mut self) -> bool {
        self.is_the_last();
        self.subscriber.unsubscribe_after(u64::MAX).await.is_ok()
    }

    /// Unsubscribes. Messages that have arrived are still read.
    pub(crate) async fn unsubscribe(&mut self) {
        self.is_the_last();
        // Fails where the client has ended: then there is nothing to unsubscribe.
        let _ = self.subscriber.unsubscribe().await;
    }

    /// Makes this the last client of the subscription: no other takes it over.
    fn is_the_last(&mut self) {
        self.all.lock().by_number.remove(&self.slot.number);
        let mut handover = self.slot.lock();
        handover.over = true;
        if let Some(next) = handover.next.take() {
            self.subscriber = next;
        }
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            let ended = match Pin::new(&mut self.subscriber).poll_next(context) {
                Poll::Ready(Some(message)) => return Poll::Ready(Some(message)),
                Poll::Ready(None) => true,
                // A client that no longer reads does not end its subscriptions either.
                Poll::Pending => false,
            };
            self.slot.waker.register(context.waker());
            let has_handover = self.slot.has_handover.swap(false, Ordering::Acquire);
            if !has_handover && !ended {
                return Poll::Pending;
            }
            let (next, over) = {
                let mut handover = self.slot.lock();
                (handover.next.take(), handover.over)
            };
            match next {
                Some(next) => {
                    self.subscriber = next;
                    // The end is checked again once the new client has returned the messages that
                    // it holds.
                    if over {
                        self.slot.has_handover.store(true, Ordering::Release);
                    }
                }
                None if over => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.all.lock().by_number.remove(&self.slot.number);
        // The slot goes with it. A subscriber that was left there unsubscribes when it is dropped.
        self.slot.lock().over = true;
    }
}
