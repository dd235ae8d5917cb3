//! Limit of the log lines of each cell, in any language: 200 lines a second, 1,000 at once. A cell
//! that logs in a loop fills neither the disk nor the capacity of the other cells.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use host::TokenBucket;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::super::counters::Counters;

/// Target of the log lines of cells.
const TARGET: &str = "cbs::cell";
const LINES_A_SECOND: u32 = 200;
const LINES_AT_ONCE: u32 = 1_000;
/// Limit of the number of cells that are counted separately. Beyond it, the counters of all cells
/// start again.
const CELLS_MAX: usize = 4_096;

/// Counter of the lines of each cell.
#[derive(Default)]
pub(super) struct Limiter {
    cells: Mutex<Cells>,
    news: AtomicBool,
    first: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Cells {
    of: HashMap<Box<str>, Lines>,
    reported: Option<Instant>,
}

/// Lines of one cell.
struct Lines {
    bucket: TokenBucket,
    left_out: u64,
}

impl Limiter {
    /// Returns true if a line of this cell is within its limit.
    fn takes(&self, cell: &str, now: Instant) -> bool {
        let mut cells = self.lock();
        if !cells.of.contains_key(cell) {
            if cells.of.len() >= CELLS_MAX {
                cells.of.clear();
            }
            let bucket = TokenBucket::new(LINES_A_SECOND, LINES_AT_ONCE, now);
            cells.of.insert(cell.into(), Lines { bucket, left_out: 0 });
        }
        let Some(lines) = cells.of.get_mut(cell) else { return true };
        if lines.bucket.take(now) {
            return true;
        }
        lines.left_out += 1;
        drop(cells);
        if !self.news.swap(true, Ordering::AcqRel)
            && let Some(first) = self.first.get()
        {
            first();
        }
        false
    }

    /// Sets the function that is called when lines are left out for the first time since the last
    /// report.
    pub(super) fn on_first(&self, first: Box<dyn Fn() + Send + Sync>) {
        drop(self.first.set(first));
    }

    pub(super) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// Logs the number of lines of each cell that were left out, unless the last report was a
    /// moment ago.
    pub(super) fn report(&self, every: Duration) {
        if !self.has_news() {
            return;
        }
        let now = Instant::now();
        let mut cells = self.lock();
        if cells.reported.is_some_and(|reported| now.saturating_duration_since(reported) < every) {
            return;
        }
        cells.reported = Some(now);
        self.news.store(false, Ordering::Release);
        let left_out: Vec<_> = cells
            .of
            .iter_mut()
            .filter(|(_, lines)| lines.left_out > 0)
            .map(|(cell, lines)| (cell.clone(), std::mem::take(&mut lines.left_out)))
            .collect();
        drop(cells);
        for (cell, lines) in left_out {
            tracing::warn!(
                target: "cbs::log",
                %cell,
                lines,
                "{lines} lines of the cell were left out: a cell may log {LINES_A_SECOND} a second, {LINES_AT_ONCE} at once"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cells> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Layer that checks the limit for each line of a cell, for all outputs of the log.
pub(super) struct Limits {
    pub(super) limiter: std::sync::Arc<Limiter>,
    pub(super) counters: std::sync::Arc<Counters>,
}

impl<S: Subscriber> Layer<S> for Limits {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        if event.metadata().target() != TARGET {
            return true;
        }
        let mut cell = CellField(String::new());
        event.record(&mut cell);
        let takes = self.limiter.takes(&cell.0, Instant::now());
        if !takes {
            self.counters.count_line_limited();
        }
        takes
    }
}

/// Reader of the field `cell`.
struct CellField(String);

impl Visit for CellField {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "cell" {
            self.0 = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "cell" {
            value.clone_into(&mut self.0);
        }
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
