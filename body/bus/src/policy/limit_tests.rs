use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use cbs::Stats;
use futures::{FutureExt, poll};

use super::{ConcurrencyLimit, ConcurrencySettings};

const LONG: Duration = Duration::from_secs(5);

fn limit(concurrency: usize, queue: usize, queue_bytes: usize) -> (ConcurrencyLimit, Arc<Stats>) {
    let stats = Arc::<Stats>::default();
    (
        ConcurrencyLimit::new(
            ConcurrencySettings { concurrency, queue, queue_bytes },
            stats.clone(),
        ),
        stats,
    )
}

fn seen(stats: &Stats) -> [u64; 3] {
    [&stats.in_flight, &stats.queued, &stats.shed].map(|number| number.load(Ordering::Relaxed))
}

#[tokio::test]
async fn so_many_run_so_many_wait_and_the_rest_is_shed() {
    let (limit, stats) = limit(2, 1, 1_000);
    let first = limit.acquire(10, LONG).await.unwrap();
    let _second = limit.acquire(10, LONG).await.unwrap();
    let mut third = limit.acquire(10, LONG).boxed();
    assert!(poll!(&mut third).is_pending());
    assert_eq!(seen(&stats), [2, 1, 0]);
    assert!(limit.acquire(10, LONG).await.is_none());
    assert!(limit.try_acquire().is_none());
    assert_eq!(seen(&stats), [2, 1, 1]);
    drop(first);
    assert!(poll!(&mut third).is_ready());
    assert_eq!(seen(&stats), [1, 0, 1]);
}

#[tokio::test]
async fn those_that_wait_are_bounded_in_bytes_too() {
    let (limit, stats) = limit(1, 100, 1_000);
    let _inside = limit.acquire(0, LONG).await.unwrap();
    let mut waits = limit.acquire(600, LONG).boxed();
    assert!(poll!(&mut waits).is_pending());
    assert!(limit.acquire(401, LONG).await.is_none());
    let mut fits = limit.acquire(400, LONG).boxed();
    assert!(poll!(&mut fits).is_pending());
    assert_eq!(seen(&stats), [1, 2, 1]);
    drop(waits);
    assert_eq!(seen(&stats), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_callers_time() {
    let (limit, stats) = limit(1, 1, 1_000);
    let _inside = limit.acquire(0, LONG).await.unwrap();
    assert!(limit.acquire(0, Duration::from_millis(50)).await.is_none());
    assert_eq!(seen(&stats), [1, 0, 1]);
}
