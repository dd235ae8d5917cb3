//! Times at which each kind of work is due.

use std::time::Duration;

use fleet::{BEAT_MS, LEASE_MS, Moment};
use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Time between two passes: events at the same moment are handled together, and thousands of
/// messages cause few passes.
const PASS_EVERY: Duration = Duration::from_millis(5);
/// Least time between two leases if the body's status changes.
const NEWS_EVERY: Duration = Duration::from_millis(100);
/// Time before a lease that could not be put is put again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Time between two checks without any reason: a message may have been lost.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Time between two leases.
const BEAT: Duration = Duration::from_millis(BEAT_MS);

/// Times at which the next work is due.
pub(super) struct Clock {
    /// Zero point of the clock of [`Moment`]s.
    began: Duration,
    /// Time of the next pass: after an event, or because time alone changes something.
    pass: Instant,
    passed: Instant,
    beat: Instant,
    look: Instant,
    /// Time when the driver last had its turn.
    turned: Moment,
}

/// Time since the machine started, including sleep, which [`Instant`] leaves out on Linux. After a
/// laptop slept for an hour, messages received before that must not count as new.
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
        Self {
            began: uptime(),
            pass: now,
            passed: now,
            beat: now,
            look: now + LOOK_EVERY,
            turned: Moment(0),
        }
    }

    /// Returns the present time on the body's own clock.
    pub(super) fn now(&self) -> Moment {
        let since = uptime().saturating_sub(self.began);
        Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// True if the driver had no turn for longer than a lease lasts: it was stopped, or the machine
    /// slept. Other bodies took it for dead meanwhile, and it received no event of that.
    pub(super) fn slept(&mut self) -> bool {
        let now = self.now();
        let slept = now.since(self.turned) >= LEASE_MS;
        self.turned = now;
        slept
    }

    /// Acts as if the machine had slept for the time of a lease: its clock goes on, and no task had
    /// a turn.
    #[cfg(test)]
    pub(super) fn miss_turns(&mut self) {
        self.began = self.began.saturating_sub(Duration::from_millis(LEASE_MS));
    }

    /// Makes a pass due soon.
    pub(super) fn happened(&mut self) {
        self.pass = Instant::now();
    }

    /// Returns the time of the next pass.
    pub(super) fn pass_at(&self) -> Instant {
        self.pass.max(self.passed + PASS_EVERY)
    }

    /// Notes that a pass was made. The next one is due after an event, or at `wake`.
    pub(super) fn passed(&mut self, wake: Option<Moment>) {
        let now = Instant::now();
        self.passed = now;
        let wake = wake.map(|wake| now + Duration::from_millis(wake.since(self.now())));
        self.pass = wake.unwrap_or(now + LOOK_EVERY).max(now + PASS_EVERY);
    }

    /// Returns the time of the next lease.
    pub(super) fn beat_at(&self) -> Instant {
        self.beat
    }

    /// True if a lease is due. A change of status (`news`) waits for a moment only: then the next
    /// turn is at that time.
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

    /// Makes a lease due again soon, because the last one was not put.
    pub(super) fn beat_again(&mut self) {
        self.beat = self.beat.min(Instant::now() + AGAIN_AFTER);
    }

    /// Returns the time of the next check.
    pub(super) fn look_at(&self) -> Instant {
        self.look
    }

    /// Notes that a check is made.
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
