//! Tests of each cell's limit.

use super::*;

#[test]
fn a_cell_logs_a_thousand_lines_at_once_and_two_hundred_a_second() {
    let limiter = Limiter::default();
    let start = Instant::now();
    let taken = |now: Instant| (0..5_000).filter(|_| limiter.takes("logic.loop", now)).count();
    assert_eq!(taken(start), 1_000);
    assert_eq!(taken(start), 0);
    assert_eq!(taken(start + Duration::from_secs(1)), 200);
    assert_eq!(taken(start + Duration::from_secs(60)), 1_000);
}

#[test]
fn another_cell_has_its_own_share() {
    let (limiter, now) = (Limiter::default(), Instant::now());
    assert!((0..2_000).any(|_| !limiter.takes("logic.loop", now)));
    assert!(limiter.takes("logic.calm", now));
}

#[test]
fn what_was_left_out_is_news_until_it_is_told() {
    let (limiter, now) = (Limiter::default(), Instant::now());
    let woken = std::sync::Arc::new(AtomicBool::new(false));
    let wake = woken.clone();
    limiter.on_first(Box::new(move || wake.store(true, Ordering::Relaxed)));
    (0..1_000).for_each(|_| assert!(limiter.takes("logic.loop", now)));
    assert!(!limiter.has_news() && !woken.load(Ordering::Relaxed));
    assert!(!limiter.takes("logic.loop", now));
    assert!(limiter.has_news() && woken.load(Ordering::Relaxed));
    limiter.report(Duration::ZERO);
    assert!(!limiter.has_news());
}

#[test]
fn made_up_names_take_no_room_for_ever() {
    let (limiter, now) = (Limiter::default(), Instant::now());
    (0..CELLS_MAX * 3).for_each(|number| assert!(limiter.takes(&number.to_string(), now)));
    assert!(limiter.lock().of.len() <= CELLS_MAX);
}
