//! Panics: a cell's ends its own call, and nothing else.

use std::{
    any::Any,
    cell::RefCell,
    fmt,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Once,
    task::{Context, Poll},
};

use super::scope::{self, Label, Scope};

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Panic {
    /// What it said.
    pub(crate) message: String,
    /// Where in the source, `file:line:column`.
    pub(crate) place: String,
}

thread_local! {
    /// Where the last panic inside a cell happened; written by the hook, taken by the catcher.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics inside of cells remember their place instead of printing; all others go to
/// the hook that was there before. Once a process, at the first handler.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if scope::depth() == 0 {
                return previous(info);
            }
            let place = info.location().map(ToString::to_string);
            // The thread may be ending, or the panic one inside this very cell: then there is no place.
            _ = PLACE.try_with(|slot| slot.try_borrow_mut().map(|mut slot| *slot = place));
        }));
    });
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {})", self.message, self.place)
    }
}

impl Panic {
    fn caught(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        let place = PLACE.try_with(|slot| slot.try_borrow_mut().ok().and_then(|mut slot| slot.take()));
        Self { message, place: place.ok().flatten().unwrap_or_else(|| "unknown".to_owned()) }
    }
}

/// Work whose panics become an outcome, and whose polls are seen by the watchdog. After a
/// panic the work is never polled again; whatever it left half done is its own.
pub(crate) struct Contained<'a, F> {
    work: Pin<&'a mut F>,
    label: &'a Label,
}

impl<'a, F> Contained<'a, F> {
    pub(crate) fn new(work: Pin<&'a mut F>, label: &'a Label) -> Self {
        Self { work, label }
    }
}

impl<F: Future> Future for Contained<'_, F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _scope = Scope::enter(self.label);
        match panic::catch_unwind(AssertUnwindSafe(|| self.work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(Panic::caught(payload.as_ref()))),
        }
    }
}

/// Something on the heap whose drop may panic: a cell's future that is dropped at its deadline.
pub(crate) struct DropGuard<T>(Option<T>);

impl<T> DropGuard<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self(Some(inner))
    }
}

impl<F: Future + Unpin> Future for DropGuard<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match &mut self.0 {
            Some(inner) => Pin::new(inner).poll(context),
            None => Poll::Pending,
        }
    }
}

impl<T> Unpin for DropGuard<T> {}

impl<T> Drop for DropGuard<T> {
    fn drop(&mut self) {
        let inner = self.0.take();
        if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| drop(inner))) {
            let panic = Panic::caught(payload.as_ref());
            tracing::error!(target: "cbs::cell", place = %panic.place, "a cell panicked as its call was dropped: {}", panic.message);
        }
    }
}
