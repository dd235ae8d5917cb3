//! Limits: how many calls run at once, how many more may wait, and who is turned away.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cbs::Stats;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::deadline::within;

/// How much fits into a [`ConcurrencyLimit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrencySettings {
    /// How many calls run at once; at least 1.
    pub concurrency: usize,
    /// How many more may wait.
    pub queue: usize,
    /// How many bytes of payload those that wait may have together.
    pub queue_bytes: usize,
}

impl Default for ConcurrencySettings {
    /// 64 run, 256 wait with 64 MiB at most.
    fn default() -> Self {
        Self { concurrency: 64, queue: 256, queue_bytes: 64 * 1024 * 1024 }
    }
}

/// The room that a cell's calls have: so many run, so many wait, the rest is shed. Those that
/// wait come in in their order. Keeps [`Stats::in_flight`], [`Stats::queued`] and
/// [`Stats::shed`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::{sync::Arc, time::Duration};
/// use bus::{ConcurrencyLimit, ConcurrencySettings};
/// let limit = ConcurrencyLimit::new(ConcurrencySettings { concurrency: 1, queue: 0, ..ConcurrencySettings::default() }, Arc::default());
/// let inside = limit.try_acquire();
/// assert!(inside.is_some());
/// assert!(limit.acquire(0, Duration::from_secs(1)).await.is_none()); // nobody may wait
/// drop(inside);
/// assert!(limit.acquire(0, Duration::from_secs(1)).await.is_some());
/// # }
/// ```
#[derive(Debug)]
pub struct ConcurrencyLimit {
    permits: Semaphore,
    queue: u64,
    queue_bytes: usize,
    waiting_bytes: AtomicUsize,
    stats: Arc<Stats>,
}

/// Room for one call; dropping it makes room for another.
#[derive(Debug)]
pub struct Permit<'a> {
    _permit: SemaphorePermit<'a>,
    stats: &'a Stats,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One who waits; counted until dropped.
struct QueuedCall<'a> {
    limit: &'a ConcurrencyLimit,
    bytes: usize,
}

impl Drop for QueuedCall<'_> {
    fn drop(&mut self) {
        self.limit.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.limit.stats.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConcurrencyLimit {
    /// An empty room that tells its state through `stats`.
    #[must_use]
    pub fn new(settings: ConcurrencySettings, stats: Arc<Stats>) -> Self {
        Self {
            permits: Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            queue: u64::try_from(settings.queue).unwrap_or(u64::MAX),
            queue_bytes: settings.queue_bytes,
            waiting_bytes: AtomicUsize::new(0),
            stats,
        }
    }

    /// Comes in if there is room now. `None` sheds nothing: the call may go elsewhere.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.permits.try_acquire().ok().map(|permit| self.permit(permit))
    }

    /// Comes in now, or waits for room if so many and so many bytes may still wait. `None`
    /// when they may not, or when no room was made within `timeout`: the call never ran, and
    /// is counted as shed.
    pub async fn acquire(&self, bytes: usize, timeout: Duration) -> Option<Permit<'_>> {
        if let Some(permit) = self.try_acquire() {
            return Some(permit);
        }
        let permit = match self.wait(bytes) {
            Some(_waiting) => within(timeout, pin!(self.permits.acquire())).await.ok().and_then(Result::ok),
            None => None,
        };
        if permit.is_none() {
            self.stats.shed.fetch_add(1, Ordering::Relaxed);
        }
        permit.map(|permit| self.permit(permit))
    }

    fn permit<'a>(&'a self, permit: SemaphorePermit<'a>) -> Permit<'a> {
        self.stats.in_flight.fetch_add(1, Ordering::Relaxed);
        Permit { _permit: permit, stats: &self.stats }
    }

    /// Counts first and asks then, so that two who come together cannot both take the last place.
    fn wait(&self, bytes: usize) -> Option<QueuedCall<'_>> {
        let queued = self.stats.queued.fetch_add(1, Ordering::Relaxed);
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let waiting = QueuedCall { limit: self, bytes };
        let fits = queued < self.queue && before.saturating_add(bytes) <= self.queue_bytes;
        fits.then_some(waiting)
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
