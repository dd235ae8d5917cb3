//! What cells say and print, as lines of the body's log, bounded.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use cbs::Stats;
use sidecar::proto;

/// How many lines a second a cell may have in the log, and how many at once: as many printed ones, and as many others.
const LINES_PER_SECOND: f64 = 200.0;
const LINES_AT_ONCE: f64 = 1000.0;
/// How soon it is told again that lines were left out.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The level that one of Python's is: 10 debug, 20 info, 30 warning, 40 error.
pub(crate) fn level_of(level: u32) -> proto::Level {
    match level {
        40.. => proto::Level::Error,
        30.. => proto::Level::Warn,
        20.. => proto::Level::Info,
        _ => proto::Level::Debug,
    }
}

/// A line of this level, of this part of the cell.
pub(crate) fn line(level: u32, logger: &str, message: &str, fields: Vec<proto::Field>) -> proto::Log {
    let level = level_of(level).into();
    proto::Log { level, message: message.to_owned(), within: 0, logger: logger.to_owned(), fields }
}

/// Which lines of one kind may go to the log.
pub(crate) struct Lines(Mutex<Bucket>);

/// The lines of one cell: what it prints takes no room from what it logs.
#[derive(Default)]
pub(crate) struct CellLines {
    pub(crate) printed: Lines,
    pub(crate) logged: Lines,
}

impl CellLines {
    /// What is to be told of lines that were left out: of each kind once a second at the most.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = String> {
        let printed = self.printed.left_out().map(|count| left_out(count, "printed"));
        let logged = self.logged.left_out().map(|count| left_out(count, "logged"));
        printed.into_iter().chain(logged)
    }

    /// Whether lines were left out that are yet to be told of.
    pub(crate) fn has_untold(&self) -> bool {
        self.printed.has_untold() || self.logged.has_untold()
    }
}

/// Says how many lines there are not, and what the cell did with them.
fn left_out(count: u64, what: &str) -> String {
    format!("{count} lines that the cell {what} were left out: too many at once")
}

struct Bucket {
    room: f64,
    filled: Instant,
    left_out: u64,
    reported: Option<Instant>,
}

impl Default for Lines {
    fn default() -> Self {
        Self(Mutex::new(Bucket { room: LINES_AT_ONCE, filled: Instant::now(), left_out: 0, reported: None }))
    }
}

impl Lines {
    /// Whether a line may be written; one that may not is counted.
    pub(crate) fn admit(&self) -> bool {
        let mut bucket = self.lock();
        bucket.fill();
        let admitted = bucket.room >= 1.0;
        if admitted {
            bucket.room -= 1.0;
        } else {
            bucket.left_out += 1;
            Stats::lines_dropped().fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// How many lines were left out and not yet told of, unless something was told a moment ago.
    fn left_out(&self) -> Option<u64> {
        let mut bucket = self.lock();
        let is_due = bucket.reported.is_none_or(|reported| reported.elapsed() >= TELL_EVERY);
        (bucket.left_out > 0 && is_due).then(|| {
            bucket.reported = Some(Instant::now());
            std::mem::take(&mut bucket.left_out)
        })
    }

    fn has_untold(&self) -> bool {
        self.lock().left_out > 0
    }

    fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn fill(&mut self) {
        let now = Instant::now();
        let more = now.duration_since(self.filled).as_secs_f64() * LINES_PER_SECOND;
        (self.room, self.filled) = ((self.room + more).min(LINES_AT_ONCE), now);
    }
}
