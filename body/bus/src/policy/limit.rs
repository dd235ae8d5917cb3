//! Limits: number of calls that run at once, number of calls that wait, and refusal of the rest.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cbs::Stats;
use model::CallPolicy;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::deadline::within;

/// Size of a [`ConcurrencyLimit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrencySettings {
    /// Limit of the calls that run at once; at least 1.
    pub concurrency: usize,
    /// Limit of the calls that wait.
    pub queue: usize,
    /// Limit of the payload bytes of all waiting calls together.
    pub queue_bytes: usize,
}

impl Default for ConcurrencySettings {
    /// Returns settings where 64 calls run and 256 wait with at most 64 MiB.
    fn default() -> Self {
        Self {
            concurrency: CallPolicy::CONCURRENCY_DEFAULT,
            queue: CallPolicy::QUEUE_DEFAULT,
            queue_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Limit of a cell's calls: a number may run, a number may wait, and the rest is refused. Waiting
/// calls get permits in their order. Keeps [`Stats::in_flight`], [`Stats::queued`] and
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

/// Permit for one call. Dropping it frees it for another call.
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

/// A waiting call, counted until it is dropped.
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
    /// Returns a limit with no calls, which reports its state through `stats`.
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

    /// Returns a permit if one is free now. `None` does not count the call as shed: it may go to
    /// another body.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.permits.try_acquire().ok().map(|permit| self.permit(permit))
    }

    /// Returns a permit now, or waits for one if this call and its bytes may still wait. Returns
    /// `None` if they may not, or if no permit became free within `timeout`. Then the call never
    /// ran, and is counted as shed.
    pub async fn acquire(&self, bytes: usize, timeout: Duration) -> Option<Permit<'_>> {
        if let Some(permit) = self.try_acquire() {
            return Some(permit);
        }
        let permit = match self.wait(bytes) {
            Some(_waiting) => {
                within(timeout, pin!(self.permits.acquire())).await.ok().and_then(Result::ok)
            }
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

    /// Counts first and checks then, so that two calls at the same time cannot both take the last
    /// place.
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
