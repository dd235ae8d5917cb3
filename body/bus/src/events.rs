//! Events in process: subscriptions, and a bounded queue for each.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};

use arc_swap::ArcSwap;
use cbs::{BoxFuture, CellName, Delivery, Envelope, EventStream, Kind, Subscription, Topic};
use futures::task::AtomicWaker;

/// All subscriptions of a bus.
pub(crate) struct Events {
    listeners: Arc<ArcSwap<Vec<Arc<Listener>>>>,
    turn: AtomicUsize,
    closed: AtomicBool,
    queue: usize,
    queue_bytes: usize,
}

/// One subscription and what waits in it.
struct Listener {
    wanted: Subscription,
    queue: Mutex<Queue>,
    queue_max: usize,
    queue_bytes_max: usize,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Queue {
    deliveries: VecDeque<Delivery>,
    events: usize,
    bytes: usize,
    closed: bool,
}

impl Events {
    pub(crate) fn new(queue: usize, queue_bytes: usize) -> Self {
        let listeners = Arc::default();
        Self {
            listeners,
            turn: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            queue,
            queue_bytes,
        }
    }

    pub(crate) fn subscribe(&self, wanted: Subscription) -> Stream {
        let listener = Arc::new(Listener {
            wanted,
            queue: Mutex::default(),
            queue_max: self.queue,
            queue_bytes_max: self.queue_bytes,
            waker: AtomicWaker::new(),
        });
        self.listeners.rcu(|all| all.iter().cloned().chain([listener.clone()]).collect::<Vec<_>>());
        // Checked after it was added: either this check sees that the bus is closed, or closing
        // sees the listener.
        if self.closed.load(Ordering::SeqCst) {
            listener.close();
        }
        Stream { listener, listeners: self.listeners.clone() }
    }

    /// Delivers the event to every subscription without a group, and to one of each group: the next
    /// in turn that has capacity.
    pub(crate) fn publish(&self, topic: &Topic, event: &Envelope) {
        let event =
            Envelope { kind: Kind::Event, timeout: None, idempotent: false, ..event.clone() };
        let listeners = self.listeners.load();
        let mut groups: Vec<(&CellName, Vec<&Listener>)> = Vec::new();
        for listener in listeners.iter().filter(|listener| listener.wanted.filter.matches(topic)) {
            match &listener.wanted.group {
                None => _ = listener.deliver(&event, true),
                Some(group) => match groups.iter_mut().find(|(found, _)| *found == group) {
                    Some((_, members)) => members.push(listener),
                    None => groups.push((group, vec![listener])),
                },
            }
        }
        for (_, members) in groups {
            let first = self.turn.fetch_add(1, Ordering::Relaxed) % members.len().max(1);
            let (before, from) = members.split_at_checked(first).unwrap_or_default();
            if !from.iter().chain(before).any(|listener| listener.deliver(&event, false)) {
                from.first().map(|listener| listener.deliver(&event, true));
            }
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.listeners.load().iter().for_each(|listener| listener.close());
    }
}

impl Listener {
    /// Puts the event into the queue and returns true. If it does not fit, returns false, and
    /// counts it as missed if `note_missed` is set.
    fn deliver(&self, event: &Envelope, note_missed: bool) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = queue.bytes.saturating_add(event.payload.len());
        let fits = !queue.closed && queue.events < self.queue_max && bytes <= self.queue_bytes_max;
        if fits {
            queue.deliveries.push_back(Delivery::Event(Box::new(event.clone())));
            (queue.events, queue.bytes) = (queue.events + 1, bytes);
        } else if note_missed && !queue.closed {
            // A count of missed events keeps its place between the events around it.
            match queue.deliveries.back_mut() {
                Some(Delivery::Missed(missed)) => *missed += 1,
                _ => queue.deliveries.push_back(Delivery::Missed(1)),
            }
        }
        drop(queue);
        self.waker.wake();
        fits
    }

    fn take(&self) -> Poll<Option<Delivery>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.deliveries.pop_front() {
            Some(delivery) => {
                if let Delivery::Event(event) = &delivery {
                    queue.events -= 1;
                    queue.bytes -= event.payload.len();
                }
                Poll::Ready(Some(delivery))
            }
            None if queue.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.waker.wake();
    }
}

/// The events of one subscription.
pub(crate) struct Stream {
    listener: Arc<Listener>,
    listeners: Arc<ArcSwap<Vec<Arc<Listener>>>>,
}

impl EventStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>> {
        Box::pin(poll_fn(|context| {
            // Registered before the check, so that no event is missed in between.
            self.listener.waker.register(context.waker());
            self.listener.take()
        }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let gone = &self.listener;
        self.listeners.rcu(|all| {
            all.iter().filter(|other| !Arc::ptr_eq(other, gone)).cloned().collect::<Vec<_>>()
        });
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
