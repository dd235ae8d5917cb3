//! Time as it is handed in, and how long things take.

/// A moment on a body's own monotonic clock, in milliseconds since its start. It never goes
/// back; a machine that was suspended makes it leap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// So many milliseconds later.
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

/// How long a lease lives on the server: `max_age` of the bucket, milliseconds.
pub const LEASE_MS: u64 = 3_000;
/// How often a body puts its presence, milliseconds.
pub const BEAT_MS: u64 = 1_000;

/// How long a body waits for what. The same in every body of a fleet; milliseconds throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A body unheard for so long is gone, even where the server's word of it was lost: a lease
    /// and half a second, for the server's own word comes first.
    pub unheard: u64,
    /// After a connection (or a sleep) no absence counts for so long: two leases, within which
    /// every body that lives has been heard.
    pub hold: u64,
    /// A body that has not said what it thinks of the present head counts as able to run it for
    /// so long: two leases.
    pub patience: u64,
    /// A new instance has been ready for so long before the old one stops: by then every node
    /// of a cluster knows its subscription.
    pub settle: u64,
    /// The wait after a first failed start; doubles with each.
    pub backoff: u64,
    /// The longest of these waits.
    pub backoff_max: u64,
    /// After so many failed starts the body refuses the revision: others may have more luck.
    pub failures_max: u32,
    /// How long such a refusal lasts.
    pub refusal: u64,
    /// An instance that was ready for so long had not failed to start: its failures are forgotten.
    pub healthy: u64,
    /// How many instances may be starting at once.
    pub starts_max: usize,
    /// A body that was not asked for so long was asleep: what it knows is as old as that.
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

/// Now, and the next moment at which something changes by time alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) now: Moment,
    pub(crate) wake: Option<Moment>,
}

impl Clock {
    pub(crate) fn new(now: Moment) -> Self {
        Self { now, wake: None }
    }

    /// Whether a moment has come; if not, it is remembered as one to wake at.
    pub(crate) fn reached(&mut self, at: Moment) -> bool {
        if self.now >= at {
            return true;
        }
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        false
    }
}
