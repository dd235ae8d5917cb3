//! Waiting with a deadline: tests here wait only with these two functions.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Interval between two checks of [`eventually`].
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits for a future. Panics with `what` if it takes longer than the limit.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # use std::time::Duration;
/// let sum = testkit::within(Duration::from_secs(5), "the sum", async { 1 + 1 }).await;
/// assert_eq!(sum, 2);
/// # }
/// ```
///
/// # Panics
/// If the limit has passed.
#[track_caller]
pub fn within<F: Future>(
    limit: Duration,
    what: &str,
    future: F,
) -> impl Future<Output = F::Output> {
    let (what, place) = (what.to_owned(), std::panic::Location::caller());
    async move {
        match tokio::time::timeout(limit, future).await {
            Ok(done) => done,
            Err(_) => panic!("{what}: not within {limit:?} (waited for at {place})"),
        }
    }
}

/// Asks again and again until the answer is true. Panics with `what` if it is still false at the
/// limit.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # use std::time::Duration;
/// let mut asked = 0;
/// testkit::eventually("asked three times", Duration::from_secs(5), async || {
///     asked += 1;
///     asked == 3
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
/// If the limit has passed; also if one question takes longer than it.
#[track_caller]
pub fn eventually(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> bool,
) -> impl Future<Output = ()> {
    let (what, place) = (what.to_owned(), std::panic::Location::caller());
    async move {
        let started = Instant::now();
        let asking = async {
            while !ask().await {
                if started.elapsed() > limit {
                    return false;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            true
        };
        let done = tokio::time::timeout(limit + LOOK_EVERY, asking).await;
        assert!(done == Ok(true), "{what}: not within {limit:?} (waited for at {place})");
    }
}
