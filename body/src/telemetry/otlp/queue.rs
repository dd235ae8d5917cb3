//! What waits to be sent: bounded in number and in bytes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc;

/// How many spans, and how many lines, may wait.
const WAITING_MAX: usize = 2_048;
/// The most bytes that they may have together, those of each signal.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// The way to a task that sends. Nobody ever waits in it.
pub(in crate::telemetry) struct Queue<T> {
    items: mpsc::Sender<Weighed<T>>,
    bytes: Arc<AtomicUsize>,
}

/// The other end.
pub(super) struct ExportQueue<T> {
    pub(super) items: mpsc::Receiver<Weighed<T>>,
    bytes: Arc<AtomicUsize>,
}

/// Something to be sent, and about how many bytes it has.
pub(in crate::telemetry) struct Weighed<T> {
    pub(super) size: usize,
    pub(super) item: T,
}

/// Both ends of an empty queue.
pub(super) fn queue<T>() -> (Queue<T>, ExportQueue<T>) {
    let ((sender, receiver), bytes) = (mpsc::channel(WAITING_MAX), Arc::<AtomicUsize>::default());
    (Queue { items: sender, bytes: bytes.clone() }, ExportQueue { items: receiver, bytes })
}

impl<T> Queue<T> {
    /// Whether nothing more finds room: asked before something is made only to be sent.
    pub(in crate::telemetry) fn is_full(&self) -> bool {
        self.items.capacity() == 0 || self.bytes.load(Ordering::Relaxed) >= BYTES_MAX
    }

    /// Whether half of the room is taken: what may be missed leaves the rest to what may not.
    pub(in crate::telemetry) fn is_half_full(&self) -> bool {
        self.items.capacity() < WAITING_MAX / 2 || self.bytes.load(Ordering::Relaxed) >= BYTES_MAX / 2
    }

    /// Puts it into the queue; `false` where it finds no room.
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
    /// Makes room for so many bytes that have been sent, or given up.
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
