use std::time::Duration;

use tokio::time::Instant;

use super::{History, Next, Restarts};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn waits_double_and_end_with_failed() {
    let (mut history, now) = (History::new(Restarts::default()), Instant::now());
    let waits: Vec<_> = (0..5).map(|_| history.exited(now, Duration::ZERO)).collect();
    assert_eq!(waits, [100, 200, 400, 800, 1_600].map(|wait| Next::Restart(ms(wait))));
    assert_eq!(history.exited(now, Duration::ZERO), Next::Failed(ms(60_000)));
}

#[test]
fn a_wait_has_a_longest() {
    let restarts = Restarts { intensity: 100, ..Restarts::default() };
    let (mut history, now) = (History::new(restarts), Instant::now());
    let last = (0..90).map(|_| history.exited(now, Duration::ZERO)).last();
    assert_eq!(last, Some(Next::Restart(ms(10_000))));
}

#[test]
fn failures_are_forgotten_after_the_period() {
    let mut history = History::new(Restarts::default());
    let began = Instant::now();
    for turn in 0..100 {
        let next = history.exited(began + ms(10_000) * turn, ms(9_000));
        assert!(matches!(next, Next::Restart(wait) if wait <= ms(800)), "{turn}: {next:?}");
    }
}

#[test]
fn a_failed_cell_stays_failed_until_it_was_ready_for_a_period() {
    let mut history = History::new(Restarts::default());
    let began = Instant::now();
    for _ in 0..6 {
        history.exited(began, Duration::ZERO);
    }
    let later = |seconds| began + Duration::from_secs(seconds);
    assert_eq!(history.exited(later(100), ms(29_000)), Next::Failed(ms(60_000)));
    assert_eq!(history.exited(later(200), ms(30_000)), Next::Restart(ms(100)));
}
