//! What cells say and print, as lines of the body's log, bounded.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use cbs::{CellContext, Numbers};
use tracing::Level;

/// How many lines a second a cell may have in the log, and how many at once: as many printed ones, and as many others.
const LINES_PER_SECOND: f64 = 200.0;
const LINES_AT_ONCE: f64 = 1000.0;
/// How soon it is told again that lines were left out.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A line as Python's logging knows it.
pub(crate) struct Line<'a> {
    /// One of Python's levels: 10 debug, 20 info, 30 warning, 40 error.
    pub(crate) level: u32,
    /// Which part of the cell says it.
    pub(crate) logger: &'a str,
    pub(crate) message: &'a str,
    pub(crate) fields: BTreeMap<String, String>,
}

macro_rules! line {
    ($level:ident, $line:expr, $cell:expr, $context:expr, $fields:expr) => {
        match $context {
            Some(context) => tracing::$level!(
                target: "cbs::cell",
                cell = %$cell,
                id = %context.id(),
                correlation_id = %context.correlation_id(),
                trace_id = %context.trace().id(),
                logger = %$line.logger,
                "{}{}", $line.message, $fields
            ),
            None => tracing::$level!(
                target: "cbs::cell", cell = %$cell, logger = %$line.logger, "{}{}", $line.message, $fields
            ),
        }
    };
}

impl Line<'_> {
    /// Whether the body's log shows lines of this level.
    pub(crate) fn is_shown(level: u32) -> bool {
        match level {
            40.. => tracing::enabled!(target: "cbs::cell", Level::ERROR),
            30.. => tracing::enabled!(target: "cbs::cell", Level::WARN),
            20.. => tracing::enabled!(target: "cbs::cell", Level::INFO),
            _ => tracing::enabled!(target: "cbs::cell", Level::DEBUG),
        }
    }

    /// Writes it, with the ids of the call that it belongs to.
    pub(crate) fn write(&self, cell: &str, context: Option<&CellContext>) {
        let fields = Fields(&self.fields);
        match self.level {
            40.. => line!(error, self, cell, context, fields),
            30.. => line!(warn, self, cell, context, fields),
            20.. => line!(info, self, cell, context, fields),
            _ => line!(debug, self, cell, context, fields),
        }
    }
}

/// What a record brings besides its line: ` key=value`, and the traceback on lines of its own.
struct Fields<'a>(&'a BTreeMap<String, String>);

impl std::fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (key, value) in self.0.iter().filter(|(key, _)| *key != "exception") {
            write!(f, " {key}={value}")?;
        }
        self.0.get("exception").map_or(Ok(()), |exception| write!(f, "\n{exception}"))
    }
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
    told: Option<Instant>,
}

impl Default for Lines {
    fn default() -> Self {
        Self(Mutex::new(Bucket { room: LINES_AT_ONCE, filled: Instant::now(), left_out: 0, told: None }))
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
            Numbers::lines_dropped().fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// How many lines were left out and not yet told of, unless something was told a moment ago.
    fn left_out(&self) -> Option<u64> {
        let mut bucket = self.lock();
        let is_due = bucket.told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        (bucket.left_out > 0 && is_due).then(|| {
            bucket.told = Some(Instant::now());
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
