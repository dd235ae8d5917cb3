//! Panics: the panic of a cell ends its own call, and nothing else.

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

use cbs::BoxFuture;

use super::scope::{self, Label, Scope};

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Panic {
    /// Message of the panic.
    pub(crate) message: String,
    /// Place in the source, `file:line:column`.
    pub(crate) place: String,
}

thread_local! {
    /// Place of the last panic inside a cell; written by the hook, taken by the catcher.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics inside cells record their place instead of printing it. All others go to the hook
/// that was set before. Runs once per process, at the first handler.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if scope::depth() == 0 {
                return previous(info);
            }
            let place = info.location().map(ToString::to_string);
            // The thread may be ending, or the panic may be inside this very cell: then there is no
            // place.
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
        let place =
            PLACE.try_with(|slot| slot.try_borrow_mut().ok().and_then(|mut slot| slot.take()));
        Self { message, place: place.ok().flatten().unwrap_or_else(|| "unknown".to_owned()) }
    }
}

/// Work whose panics become a result, whether it is started, polled or dropped, and whose polls the
/// watchdog sees. After a panic it is never polled again; unfinished changes of its own state stay.
pub(crate) struct Contained<'a, T> {
    work: Option<BoxFuture<'a, T>>,
    label: &'a Label,
    /// The panic of its start, returned by the first poll.
    panic: Option<Panic>,
}

impl<'a, T> Contained<'a, T> {
    pub(crate) fn new(label: &'a Label, begin: impl FnOnce() -> BoxFuture<'a, T>) -> Self {
        let _scope = Scope::enter(label);
        match panic::catch_unwind(AssertUnwindSafe(begin)) {
            Ok(work) => Self { work: Some(work), label, panic: None },
            Err(payload) => {
                Self { work: None, label, panic: Some(Panic::caught(payload.as_ref())) }
            }
        }
    }
}

impl<T> Future for Contained<'_, T> {
    type Output = Result<T, Panic>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _scope = Scope::enter(self.label);
        let Some(work) = self.work.as_mut() else {
            return self.panic.take().map_or(Poll::Pending, |panic| Poll::Ready(Err(panic)));
        };
        match panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(Panic::caught(payload.as_ref()))),
        }
    }
}

impl<T> Drop for Contained<'_, T> {
    fn drop(&mut self) {
        let _scope = Scope::enter(self.label);
        let work = self.work.take();
        if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| drop(work))) {
            let Panic { message, place } = Panic::caught(payload.as_ref());
            tracing::error!(target: "cbs::cell", %place, "a cell panicked as its call was dropped: {message}");
        }
    }
}
