//! The watchdog: reports the cell that blocks its thread, while it does.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use cbs::Text;

use super::scope::{self, Slot};

/// Report about a cell that blocks its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The cell's or flow's name.
    pub cell: Text,
    /// Time for which it has blocked at least, without an `await` that yielded.
    pub at_least: Duration,
}

/// A thread that checks which cell each thread of the process polls, and reports every poll that it
/// finds twice. So a cell that blocks for ever is reported too. A call needs two stores for it and
/// reads no clock. Dropping it ends it.
pub struct Watchdog {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts a watchdog that logs (target `cbs::cell`) each cell that has blocked its thread for
    /// 100 ms.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Duration::from_millis(100), |blocked| {
            tracing::warn!(
                target: "cbs::cell",
                cell = %blocked.cell,
                "the cell has blocked its thread for more than {} ms; other cells wait: it should await, \
                 or use a blocking task", blocked.at_least.as_millis()
            );
        })
    }

    /// Starts a watchdog with another limit, which calls `report` once for each poll, between one
    /// and two limits after it began.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start_with(
        limit: Duration,
        report: impl Fn(&Blocked) + Send + 'static,
    ) -> io::Result<Self> {
        let ended = Arc::<AtomicBool>::default();
        let end = ended.clone();
        let look = move || {
            let mut seen = LastPolls::default();
            while !end.load(Ordering::Acquire) {
                for cell in seen.look(scope::slots()) {
                    report(&Blocked { cell, at_least: limit });
                }
                thread::park_timeout(limit);
            }
        };
        let thread = thread::Builder::new().name("cbs-watchdog".to_owned()).spawn(look)?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panics only if `report` does, and then it has ended too.
            _ = thread.join();
        }
    }
}

/// Last poll that was seen on each thread, and whether it was reported.
#[derive(Default)]
struct LastPolls(HashMap<*const Slot, (u64, bool)>);

impl LastPolls {
    fn look(&mut self, slots: Vec<Arc<Slot>>) -> Vec<Text> {
        let before = std::mem::take(&mut self.0);
        let mut blocked = Vec::new();
        for slot in slots {
            let key = Arc::as_ptr(&slot);
            let now = slot.now();
            let reported = match before.get(&key) {
                Some((last, reported)) if *last == now && now != 0 => {
                    blocked.extend(scope::name_of(now).filter(|_| !reported));
                    true
                }
                _ => false,
            };
            self.0.insert(key, (now, reported));
        }
        blocked
    }
}
