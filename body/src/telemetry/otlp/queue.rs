//! Queue of items to be sent: bounded in number and in bytes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc;

/// Limit of the number of spans that may wait, and of log lines.
const WAITING_MAX: usize = 2_048;
/// Limit of the bytes that the items of each signal may have together.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Sender of items to a sending task. Sending never blocks.
pub(in crate::telemetry) struct Queue<T> {
    items: mpsc::Sender<Weighed<T>>,
    bytes: Arc<AtomicUsize>,
}

/// Receiving end of a queue.
pub(super) struct ExportQueue<T> {
    pub(super) items: mpsc::Receiver<Weighed<T>>,
    bytes: Arc<AtomicUsize>,
}

/// Item to be sent, with its approximate bytes.
pub(in crate::telemetry) struct Weighed<T> {
    pub(super) size: usize,
    pub(super) item: T,
}

/// Returns both ends of an empty queue.
pub(super) fn queue<T>() -> (Queue<T>, ExportQueue<T>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let bytes = Arc::<AtomicUsize>::default();
    (Queue { items: sender, bytes: bytes.clone() }, ExportQueue { items: receiver, bytes })
}

impl<T> Queue<T> {
    /// Returns true if no item fits any more. Ask before an item is made only to be sent.
    pub(in crate::telemetry) fn is_full(&self) -> bool {
        self.items.capacity() == 0 || self.bytes.load(Ordering::Relaxed) >= BYTES_MAX
    }

    /// Returns true if half of the capacity is used: less important items then leave the rest to
    /// the others.
    pub(in crate::telemetry) fn is_half_full(&self) -> bool {
        self.items.capacity() < WAITING_MAX / 2
            || self.bytes.load(Ordering::Relaxed) >= BYTES_MAX / 2
    }

    /// Puts an item into the queue. Returns false if it does not fit.
    pub(in crate::telemetry) fn offer(&self, size: usize, item: T) -> bool {
        let fits = self.bytes.fetch_add(size, Ordering::Relaxed).saturating_add(size) <= BYTES_MAX;
        let taken = fits && self.items.try_send(Weighed { size, item }).is_ok();
        if !taken {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        taken
    }
}

impl<T> ExportQueue<T> {
    /// Frees the bytes of items that have been sent, or given up.
    pub(super) fn done(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_in_number() {
        let (queue, _waiting) = queue();
        assert_eq!((0..3_000).filter(|_| queue.offer(1, ())).count(), WAITING_MAX);
        assert!(queue.is_full() && queue.is_half_full());
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_what_is_done_makes_room() {
        let (queue, mut waiting) = queue();
        let half = BYTES_MAX / 2;
        assert!(queue.offer(half, ()) && queue.is_half_full() && queue.offer(half, ()));
        assert!(queue.is_full() && !queue.offer(1, ()));
        let taken = waiting.items.try_recv().map(|weighed| weighed.size).unwrap_or_default();
        assert!(!queue.offer(1, ()), "it is sent, and still there");
        waiting.done(taken);
        assert!(queue.offer(half, ()) && !queue.offer(1, ()));
    }
}
