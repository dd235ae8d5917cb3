//! Lines that cells log and print, as bounded lines of the body's log.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use cbs::Stats;
use host::TokenBucket;
use sidecar::proto;

/// Number of lines a second that a cell may have in the log. Printed lines and logged lines have
/// this limit each.
const LINES_PER_SECOND: u32 = 200;
/// Number of lines that a cell may have in the log at once, for each of these two kinds.
const LINES_AT_ONCE: u32 = 1000;
/// Time between two reports that lines were left out.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Converts a log level of Python: 10 debug, 20 info, 30 warning, 40 error.
pub(crate) fn level_of(level: u32) -> proto::Level {
    match level {
        40.. => proto::Level::Error,
        30.. => proto::Level::Warn,
        20.. => proto::Level::Info,
        _ => proto::Level::Debug,
    }
}

/// Returns a log line of this level, from this part of the cell.
pub(crate) fn line(
    level: u32,
    logger: &str,
    message: &str,
    fields: Vec<proto::Field>,
) -> proto::Log {
    let level = level_of(level).into();
    proto::Log { level, message: message.to_owned(), within: 0, logger: logger.to_owned(), fields }
}

/// Limit of the lines of one kind that may go to the log.
pub(crate) struct Lines(Mutex<Counted>);

/// Line limits of one cell. Printed lines take no capacity from logged lines.
#[derive(Default)]
pub(crate) struct CellLines {
    pub(crate) printed: Lines,
    pub(crate) logged: Lines,
}

impl CellLines {
    /// Returns the reports of lines that were left out: at most one of each kind a second.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = String> {
        let printed = self.printed.left_out().map(|count| left_out(count, "printed"));
        let logged = self.logged.left_out().map(|count| left_out(count, "logged"));
        printed.into_iter().chain(logged)
    }

    /// Returns true if lines were left out that have not been reported yet.
    pub(crate) fn has_untold(&self) -> bool {
        self.printed.has_untold() || self.logged.has_untold()
    }
}

/// Returns the report that lines were left out: their number, and whether the cell printed or
/// logged them.
fn left_out(count: u64, what: &str) -> String {
    format!("{count} lines that the cell {what} were left out: too many at once")
}

/// A bucket of lines, with the number of lines that found it empty.
struct Counted {
    bucket: TokenBucket,
    left_out: u64,
    reported: Option<Instant>,
}

impl Default for Lines {
    fn default() -> Self {
        Self(Mutex::new(Counted {
            bucket: TokenBucket::new(LINES_PER_SECOND, LINES_AT_ONCE, Instant::now()),
            left_out: 0,
            reported: None,
        }))
    }
}

impl Lines {
    /// Returns true if a line may be written; otherwise counts the line as left out.
    pub(crate) fn admit(&self) -> bool {
        let mut lines = self.lock();
        let admitted = lines.bucket.take(Instant::now());
        if !admitted {
            lines.left_out += 1;
            Stats::lines_dropped().fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Returns the number of lines that were left out and not yet reported, unless the last report
    /// was a moment ago.
    fn left_out(&self) -> Option<u64> {
        let mut lines = self.lock();
        let is_due = lines.reported.is_none_or(|reported| reported.elapsed() >= TELL_EVERY);
        (lines.left_out > 0 && is_due).then(|| {
            lines.reported = Some(Instant::now());
            std::mem::take(&mut lines.left_out)
        })
    }

    fn has_untold(&self) -> bool {
        self.lock().left_out > 0
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
