//! Deadlines: work is dropped when its time is over.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::coop::{Unconstrained, unconstrained},
    time::{Sleep, sleep},
};

/// Error: the time limit passed before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time is over")]
pub struct Elapsed;

/// Runs the work for at most `limit`, then drops it. The timer is set only if the first poll leaves
/// the work unfinished: work that is done at once needs no timer and reads no clock. The time of
/// the first poll itself is not counted, because it must not block.
///
/// # Errors
/// [`Elapsed`] when the limit passed first.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::{future, time::Duration};
/// let limit = Duration::from_millis(1);
/// assert_eq!(bus::within(limit, future::ready(7)).await, Ok(7));
/// assert_eq!(bus::within(limit, future::pending::<()>()).await, Err(bus::Elapsed));
/// # }
/// ```
pub fn within<F: Future + Unpin>(limit: Duration, work: F) -> Within<F> {
    Within { work, timer: Timer::new(limit) }
}

/// Work with a deadline; see [`within`]. Written as a future by hand: an `async fn` would keep the
/// timer and the output in every future that awaits it, hundreds of bytes to move per call.
#[must_use = "it does nothing unless awaited"]
pub struct Within<F> {
    work: F,
    timer: Timer,
}

impl<F: Future + Unpin> Future for Within<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(done) = Pin::new(&mut self.work).poll(context) {
            return Poll::Ready(Ok(done));
        }
        self.timer.poll(context).map(Err)
    }
}

/// A timer that starts when it is first polled.
pub(crate) struct Timer {
    limit: Duration,
    /// Outside of the task's budget, so that work that always uses all of the budget ends too.
    sleep: Option<Pin<Box<Unconstrained<Sleep>>>>,
}

impl Timer {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, sleep: None }
    }

    /// Returns the time that it runs.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Ready when the time is over, counted from the first poll.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Elapsed> {
        let limit = self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(unconstrained(sleep(limit))));
        sleep.as_mut().poll(context).map(|()| Elapsed)
    }
}
