//! What is due when.

use std::time::Duration;

use fleet::{BEAT_MS, LEASE_MS, Moment};
use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Between two passes: what happens at once is met at once, and thousands of words make few passes.
const PASS_EVERY: Duration = Duration::from_millis(5);
/// Between two leases that tell news.
const NEWS_EVERY: Duration = Duration::from_millis(100);
/// Before a lease is put again that was not.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How often a look is taken without any reason: a word may have been lost.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often a lease is put.
const BEAT: Duration = Duration::from_millis(BEAT_MS);

/// When what is due.
pub(super) struct Clock {
    /// The clock of [`Moment`]s began then.
    began: Duration,
    /// Something happened, or time alone changes something.
    pass: Instant,
    passed: Instant,
    beat: Instant,
    look: Instant,
    /// When the driver last had its turn.
    turned: Moment,
}

/// Time as it passes for the machine, sleep included, which [`Instant`] leaves out on Linux: a
/// laptop that slept for an hour must not take what it last heard for news.
fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::CLOCK_MONOTONIC;
    // Every kernel that this program runs on has it.
    clock_gettime(clock).map(Duration::from).unwrap_or_default()
}

impl Clock {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { began: uptime(), pass: now, passed: now, beat: now, look: now + LOOK_EVERY, turned: Moment(0) }
    }

    /// Now, on the body's own clock.
    pub(super) fn now(&self) -> Moment {
        let since = uptime().saturating_sub(self.began);
        Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether the driver had no turn for longer than a lease lasts: it was stopped, or the
    /// machine slept. Others took it for dead meanwhile, and it heard none of it.
    pub(super) fn slept(&mut self) -> bool {
        let now = self.now();
        let slept = now.since(self.turned) >= LEASE_MS;
        self.turned = now;
        slept
    }

    /// As if the machine had slept for a lease: its clock goes on, and nobody had a turn.
    #[cfg(test)]
    pub(super) fn miss_turns(&mut self) {
        self.began = self.began.saturating_sub(Duration::from_millis(LEASE_MS));
    }

    /// A pass is due soon.
    pub(super) fn happened(&mut self) {
        self.pass = Instant::now();
    }

    /// When the next pass is due.
    pub(super) fn pass_at(&self) -> Instant {
        self.pass.max(self.passed + PASS_EVERY)
    }

    /// A pass was made; the next is due when something happens, or then.
    pub(super) fn passed(&mut self, wake: Option<Moment>) {
        let now = Instant::now();
        self.passed = now;
        let wake = wake.map(|wake| now + Duration::from_millis(wake.since(self.now())));
        self.pass = wake.unwrap_or(now + LOOK_EVERY).max(now + PASS_EVERY);
    }

    /// When the next lease is due.
    pub(super) fn beat_at(&self) -> Instant {
        self.beat
    }

    /// Whether a lease is due. News wait for a moment only: the next turn is then.
    pub(super) fn beats(&mut self, news: bool) -> bool {
        let now = Instant::now();
        let soonest = self.beat + NEWS_EVERY - BEAT;
        let beats = now >= self.beat || news && now >= soonest;
        if beats {
            self.beat = now + BEAT;
        } else if news {
            self.pass = self.pass.min(soonest);
        }
        beats
    }

    /// The lease was not put: once more, soon.
    pub(super) fn beat_again(&mut self) {
        self.beat = self.beat.min(Instant::now() + AGAIN_AFTER);
    }

    /// When the next look is due.
    pub(super) fn look_at(&self) -> Instant {
        self.look
    }

    /// A look is taken.
    pub(super) fn looks(&mut self) {
        self.look = Instant::now() + LOOK_EVERY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_had_no_turn_for_a_lease_has_slept() {
        let mut clock = Clock::new();
        assert!(!clock.slept());
        clock.miss_turns();
        assert!(clock.slept());
        assert!(!clock.slept());
    }

    #[test]
    fn a_lease_that_was_not_put_is_put_again_before_the_last_one_ends() {
        let mut clock = Clock::new();
        assert!(clock.beats(false) && !clock.beats(false));
        clock.beat_again();
        assert!(clock.beat_at() <= Instant::now() + AGAIN_AFTER);
    }
}
