//! The cell that a thread polls now: one integer per thread, read by the watchdog and the panic
//! hook.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use cbs::Text;

/// The names of all labels. Global, as threads are: a runtime's threads poll the cells of
/// every body in the process.
static NAMES: LazyLock<Mutex<HashMap<u32, Text>>> = LazyLock::new(Mutex::default);
/// The slots of all threads that ever polled a cell.
static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());
static NEXT_LABEL: AtomicU32 = AtomicU32::new(1);

thread_local! {
    static THREAD: Thread = Thread::new();
}

/// The name of a handler as a number, while the handler exists.
#[derive(Debug)]
pub(crate) struct Label(u32);

impl Label {
    pub(crate) fn new(name: &str) -> Self {
        let label = NEXT_LABEL.fetch_add(1, Ordering::Relaxed);
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).insert(label, name.into());
        Self(label)
    }
}

impl Drop for Label {
    fn drop(&mut self) {
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Current poll of a thread: the poll's number in the high half, its label in the low half; 0: no
/// cell.
#[derive(Debug, Default)]
pub(crate) struct Slot(AtomicU64);

impl Slot {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Thread {
    slot: Arc<Slot>,
    polls: Cell<u32>,
    depth: Cell<u32>,
}

impl Thread {
    fn new() -> Self {
        let slot = Arc::<Slot>::default();
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|other| other.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        Self { slot, polls: Cell::new(0), depth: Cell::new(0) }
    }
}

/// A poll of a cell. While it lasts, the thread's slot holds it. Polls nest if a cell calls another
/// in the same body: at its end the inner one restores the slot of the outer one.
pub(crate) struct Scope {
    outer: u64,
}

impl Scope {
    pub(crate) fn enter(label: &Label) -> Self {
        let outer = THREAD.try_with(|thread| {
            let poll = thread.polls.get().wrapping_add(1);
            thread.polls.set(poll);
            thread.depth.set(thread.depth.get() + 1);
            let outer = thread.slot.now();
            thread.slot.0.store(u64::from(poll) << 32 | u64::from(label.0), Ordering::Relaxed);
            outer
        });
        Self { outer: outer.unwrap_or(0) }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // A thread that is ending has no slot, and is not watched.
        _ = THREAD.try_with(|thread| {
            thread.depth.set(thread.depth.get().saturating_sub(1));
            thread.slot.0.store(self.outer, Ordering::Relaxed);
        });
    }
}

/// Returns the number of nested polls of cells on this thread.
pub(crate) fn depth() -> u32 {
    THREAD.try_with(|thread| thread.depth.get()).unwrap_or(0)
}

/// Returns the slots of all threads that poll cells.
pub(crate) fn slots() -> Vec<Arc<Slot>> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
}

/// Returns the name of the label in a slot's value; `None` if the handler is gone.
pub(crate) fn name_of(now: u64) -> Option<Text> {
    let label = u32::try_from(now & u64::from(u32::MAX)).ok()?;
    NAMES.lock().unwrap_or_else(PoisonError::into_inner).get(&label).cloned()
}
