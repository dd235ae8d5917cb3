//! Deadlines: work is dropped when its time is over.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// The time was over before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time is over")]
pub struct Elapsed;

/// Runs the work for at most `limit`, then drops it. The timer is set only when the first poll
/// leaves the work unfinished: work that is done at once pays for no timer and reads no clock.
/// Time that the first poll itself takes is not counted, for it must not block.
///
/// # Errors
/// [`Elapsed`] when the limit passed first.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::{future, time::Duration};
/// let limit = Duration::from_millis(1);
/// assert_eq!(bus::within(limit, future::ready(7)).await, Ok(7));
/// assert_eq!(bus::within(limit, future::pending::<()>()).await, Err(bus::Elapsed));
/// # }
/// ```
pub async fn within<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let mut work = pin!(work);
    let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    match first {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => tokio::time::timeout(limit, work).await.map_err(|_| Elapsed),
    }
}
