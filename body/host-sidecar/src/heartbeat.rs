//! The health of a process, as it reports it itself.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sidecar::proto::Pong;
use tokio::sync::Notify;

/// Health of a process: the ping that it has not answered yet, and its last pong.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    /// Notified when the start hooks of the process are done.
    pub(crate) ready: Notify,
    owed: Mutex<Owed>,
    queued: AtomicU64,
    lag_us: AtomicU64,
    lock_wait_us: AtomicU64,
}

#[derive(Debug, Default)]
struct Owed {
    last: u64,
    /// The oldest ping without an answer, and the time from which its delay counts.
    oldest: Option<(u64, Instant)>,
    looked: Option<Instant>,
}

impl Heartbeat {
    /// Returns the number of the next ping, which is sent now.
    pub(crate) fn ping(&self, now: Instant) -> u64 {
        let mut owed = self.owed();
        owed.last += 1;
        let nonce = owed.last;
        owed.oldest.get_or_insert((nonce, now));
        nonce
    }

    pub(crate) fn pong(&self, pong: &Pong) {
        self.queued.store(pong.queued.into(), Ordering::Relaxed);
        self.lag_us.store(pong.lag_us, Ordering::Relaxed);
        self.lock_wait_us.store(pong.lock_wait_us, Ordering::Relaxed);
        let mut owed = self.owed();
        // An answer to a later ping answers the earlier ones too: the process is alive.
        if owed.oldest.is_some_and(|(nonce, _)| pong.nonce >= nonce) {
            owed.oldest = None;
        }
    }

    /// Returns the time for which an answer has been due. It is called every `every`. If the last
    /// call is much older, the body itself stood still, and the process gets its full time again.
    pub(crate) fn owes(&self, now: Instant, every: Duration) -> Duration {
        let mut owed = self.owed();
        let late =
            owed.looked.is_some_and(|looked| now.saturating_duration_since(looked) > every * 2);
        owed.looked = Some(now);
        match &mut owed.oldest {
            None => Duration::ZERO,
            Some((_, since)) if late => {
                *since = now;
                Duration::ZERO
            }
            Some((_, since)) => now.saturating_duration_since(*since),
        }
    }

    /// True if an answer has been due for longer than `limit`.
    pub(crate) fn is_silent(&self, now: Instant, limit: Duration) -> bool {
        self.owed().oldest.is_some_and(|(_, since)| now.saturating_duration_since(since) > limit)
    }

    /// Returns the number of calls that wait within the process.
    pub(crate) fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Returns the delay of the process's event loop, in microseconds.
    pub(crate) fn lag_us(&self) -> u64 {
        self.lag_us.load(Ordering::Relaxed)
    }

    /// Returns the time that the process's threads wait for a lock that they share, in
    /// microseconds.
    pub(crate) fn lock_wait_us(&self) -> u64 {
        self.lock_wait_us.load(Ordering::Relaxed)
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pong(nonce: u64) -> Pong {
        Pong { nonce, ..Pong::default() }
    }

    #[test]
    fn a_pong_that_stays_out_counts_from_its_ping() {
        let heartbeat = Heartbeat::default();
        let start = Instant::now();
        assert_eq!((heartbeat.ping(start), heartbeat.owes(start, SECOND)), (1, Duration::ZERO));
        assert_eq!(
            (heartbeat.ping(start + SECOND), heartbeat.owes(start + SECOND, SECOND)),
            (2, SECOND)
        );
        heartbeat.pong(&pong(1));
        assert_eq!(heartbeat.owes(start + SECOND * 2, SECOND), Duration::ZERO);
        heartbeat.ping(start + SECOND * 3);
        heartbeat.pong(&pong(2));
        assert_eq!(
            heartbeat.owes(start + SECOND * 4, SECOND),
            SECOND,
            "an old pong answers no new ping"
        );
    }

    #[test]
    fn time_in_which_the_body_stood_still_is_not_the_process_s() {
        let heartbeat = Heartbeat::default();
        let start = Instant::now();
        heartbeat.ping(start);
        heartbeat.owes(start, SECOND);
        assert_eq!(heartbeat.owes(start + SECOND * 60, SECOND), Duration::ZERO);
        assert_eq!(heartbeat.owes(start + SECOND * 62, SECOND), SECOND * 2);
    }
}
