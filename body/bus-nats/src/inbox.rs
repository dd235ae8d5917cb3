//! Inbox for replies: one wildcard subscription for all calls of a connection.
//!
//! async-nats has the same for its own requests. This one makes the reply subject from a counter
//! instead of a random id, and detects when the connection is lost.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_nats::{Message, Subject, SubscribeError};
use futures::StreamExt;
use tokio::sync::oneshot;

use crate::subscription::{Subscription, Subscriptions};

/// Callers that wait, by the number in their reply subject. The number of entries is bounded by the
/// callers: each entry belongs to a future that removes it when it ends.
#[derive(Default)]
struct PendingRequests(Mutex<HashMap<u64, oneshot::Sender<Message>>>);

impl PendingRequests {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Message>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's inbox.
pub(crate) struct Inbox {
    prefix: String,
    next: AtomicU64,
    pending: Arc<PendingRequests>,
}

impl Inbox {
    /// Subscribes to `<prefix>.*`. The second value reads the replies; the caller must run it.
    pub(crate) async fn open(
        subscriptions: &Arc<Subscriptions>,
        prefix: String,
    ) -> Result<(Self, InboxReader), SubscribeError> {
        let subscriber = subscriptions.add(format!("{prefix}.*"), None).await?;
        let pending = Arc::new(PendingRequests::default());
        let reader = InboxReader { subscriber, pending: pending.clone() };
        Ok((Self { prefix, next: AtomicU64::new(0), pending }, reader))
    }

    /// Returns a reply subject, and the receiver of the message that comes to it.
    pub(crate) fn expect(&self) -> (Subject, Expected) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.pending.lock().insert(number, sender);
        let mut subject = String::with_capacity(self.prefix.len() + 9);
        subject.push_str(&self.prefix);
        subject.push('.');
        push_number(&mut subject, number);
        (Subject::from(subject), Expected { number, receiver, pending: self.pending.clone() })
    }

    /// Wakes all waiting callers: no reply will come.
    pub(crate) fn give_up(&self) {
        self.pending.lock().clear();
    }
}

/// A reply that is expected. Dropping it ends the waiting.
pub(crate) struct Expected {
    number: u64,
    receiver: oneshot::Receiver<Message>,
    pending: Arc<PendingRequests>,
}

impl Expected {
    /// The number of the call, counted from 0 on its connection.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The reply; `None` when the connection was lost.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        // If a message came, the entry is already removed.
        if !self.receiver.is_terminated() {
            self.pending.lock().remove(&self.number);
        }
    }
}

/// Reads the replies of an inbox.
pub(crate) struct InboxReader {
    subscriber: Subscription,
    pending: Arc<PendingRequests>,
}

impl InboxReader {
    /// Passes each reply to its caller until the connection is closed. A reply whose caller no
    /// longer waits is dropped.
    pub(crate) async fn run(mut self) {
        while let Some(message) = self.subscriber.next().await {
            let sender = read_number(&message.subject)
                .and_then(|number| self.pending.lock().remove(&number));
            if let Some(sender) = sender {
                // The caller may have left at this moment.
                let _ = sender.send(message);
            }
        }
    }
}

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// Writes a number in base 32, lowest digit first: the order does not matter to the reader, and it
/// is fast.
fn push_number(text: &mut String, mut number: u64) {
    loop {
        let digit = DIGITS.get((number % 32) as usize).copied().unwrap_or(b'0');
        text.push(char::from(digit));
        number /= 32;
        if number == 0 {
            return;
        }
    }
}

fn read_number(subject: &str) -> Option<u64> {
    let (_, digits) = subject.rsplit_once('.')?;
    digits.bytes().rev().try_fold(0u64, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'v' => digit - b'a' + 10,
            _ => return None,
        };
        number.checked_mul(32)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_was_written() {
        for number in [0, 1, 31, 32, 33, 1023, 1024, 123_456_789, u64::MAX] {
            let mut subject = "_INBOX.web1-7f3a91.c.".to_owned();
            push_number(&mut subject, number);
            assert_eq!(read_number(&subject), Some(number), "{subject}");
        }
        assert_eq!(read_number("_INBOX.a.Z"), None);
    }
}
