//! Moments as the driver passes them in, and the durations of all waits.

/// A moment on a body's own monotonic clock, in milliseconds since its start. It never goes
/// back; it jumps forward when the machine was suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Returns the moment so many milliseconds later.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since an earlier moment; 0 where it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Time that a lease lasts on the server: `max_age` of the bucket, milliseconds.
pub const LEASE_MS: u64 = 3_000;
/// Interval at which a body puts its presence, milliseconds.
pub const BEAT_MS: u64 = 1_000;

/// Waits and limits of a body. The same in every body of a fleet; milliseconds throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Time without a lease after which a body is gone, even where the server's message about it
    /// was lost: a lease and half a second, because the server's own message comes first.
    pub unheard: u64,
    /// Time after a connection (or a sleep) in which no absence counts: two leases. Within it a
    /// lease of every running body has been received.
    pub hold: u64,
    /// Time in which a body that has not reported about the present head counts as able to run it:
    /// two leases.
    pub patience: u64,
    /// Time that a new instance has been ready before the old one stops: by then every node of a
    /// cluster knows its subscription.
    pub settle: u64,
    /// The wait after a first failed start; doubles with each.
    pub backoff: u64,
    /// The longest of these waits.
    pub backoff_max: u64,
    /// Number of failed starts after which the body refuses the revision: other bodies may be able
    /// to start it.
    pub failures_max: u32,
    /// Time that such a refusal lasts.
    pub refusal: u64,
    /// Time after which an instance that is ready counts as started: its failures are forgotten.
    pub healthy: u64,
    /// Limit of instances that may be starting at once.
    pub starts_max: usize,
    /// Time without a pass after which a body counts as having been asleep: its knowledge is as old
    /// as that.
    pub sleep: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            unheard: LEASE_MS + 500,
            hold: 2 * LEASE_MS,
            patience: 2 * LEASE_MS,
            settle: 500,
            backoff: 1_000,
            backoff_max: 60_000,
            failures_max: 3,
            refusal: 60_000,
            healthy: 60_000,
            starts_max: 64,
            sleep: 2 * BEAT_MS + 500,
        }
    }
}

/// Present moment, and the next moment at which something changes by time alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) now: Moment,
    pub(crate) wake: Option<Moment>,
}

impl Clock {
    pub(crate) fn new(now: Moment) -> Self {
        Self { now, wake: None }
    }

    /// True if a moment has come; if not, it is noted as a moment to wake at.
    pub(crate) fn reached(&mut self, at: Moment) -> bool {
        if self.now >= at {
            return true;
        }
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        false
    }
}
