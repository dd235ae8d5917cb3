//! The log: on standard error, as text on a terminal and as JSON otherwise; and, if requested, to
//! an OTLP receiver. One filter decides which lines are left out. It may change while the program
//! runs.

mod form;
mod limit;
mod lines;
mod writer;

use std::{
    fmt,
    io::{self, IsTerminal},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt, reload,
    util::SubscriberInitExt,
};

pub(super) use self::lines::LogRecord;
pub(crate) use self::writer::{LastLines, settle};
use self::{limit::Limits, lines::Lines, writer::Writer};
use super::{counters::Counters, otlp::Queue};
use crate::exit::Failure;

/// Environment variable that filters the log, for example `debug` or `info,bus_nats=trace`.
const VARIABLE: &str = "CBS_LOG";

/// Libraries whose lines are only logged if the filter names them: `async_nats=trace`. Some of
/// their lines hold the secrets that they send. The body logs their important events in lines of
/// its own.
const LIBRARIES: [&str; 7] =
    ["async_nats", "h2", "hyper", "hyper_util", "rustls", "tonic", "tower"];

/// Log of this program: a handle that is cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// `None` if the program has a log of its own.
    reload: Option<reload::Handle<EnvFilter, Registry>>,
    filter: Mutex<Filter>,
    /// Queue of exported lines; set once export is requested.
    exported: Arc<OnceLock<Queue<LogRecord>>>,
    counters: Arc<Counters>,
}

/// Limit of the bytes of a filter: every line is compared with all of it.
const FILTER_BYTES_MAX: usize = 1_024;

/// Filter that is used now.
#[derive(Clone, Debug, Default)]
struct Filter {
    text: String,
    /// Filter without a time limit: a filter with a time limit goes back to it.
    lasting: String,
    /// Number of changes.
    changes: u64,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("filter", &*self.lock()).finish_non_exhaustive()
    }
}

impl Log {
    /// Starts the log with the filter of `CBS_LOG`, else with this level. The last lines are
    /// written when the returned [`LastLines`] is dropped.
    ///
    /// # Errors
    /// A usage error: the filter is invalid.
    pub(crate) fn start(level_default: &str) -> Result<(Self, LastLines), Failure> {
        let text = std::env::var(VARIABLE).ok().filter(|filter| !filter.trim().is_empty());
        let text = text.unwrap_or_else(|| level_default.to_owned());
        let filter = parse(&text)
            .map_err(|error| Failure::usage(format_args!("{VARIABLE} is no filter: {error}")))?;
        let counters = Arc::<Counters>::default();
        let limiter = Arc::default();
        let limits = Limits { limiter: Arc::clone(&limiter), counters: counters.clone() };
        let writer = Writer::start(counters.clone(), limiter).map_err(Failure::not_started)?;
        let (filter, reload) = reload::Layer::new(filter);
        let exported = Arc::<OnceLock<_>>::default();
        let lines = Lines { queue: exported.clone(), counters: counters.clone() };
        let form = tracing_subscriber::fmt::layer().with_writer(writer);
        let form: Box<dyn Layer<_> + Send + Sync> = if io::stderr().is_terminal() {
            let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            form.with_ansi(colour).with_target(false).fmt_fields(form::Plain).boxed()
        } else {
            form.event_format(form::Json).boxed()
        };
        let started = tracing_subscriber::registry()
            .with(filter)
            .with(limits)
            .with(form)
            .with(lines)
            .try_init();
        // A program that started a log of its own before `main_with` keeps it.
        let reload = started.is_ok().then_some(reload);
        let filter = Mutex::new(Filter { lasting: text.clone(), text, changes: 0 });
        Ok((Self(Arc::new(Inner { reload, filter, exported, counters })), LastLines(())))
    }

    /// Returns the filter that is used now.
    pub(super) fn filter(&self) -> String {
        self.lock().text.clone()
    }

    /// Changes the filter, with or without a time limit. Returns the filter before, and the number
    /// of this change.
    ///
    /// # Errors
    /// The reason why the filter is invalid or cannot be changed.
    pub(super) fn set_filter(&self, text: &str, for_good: bool) -> Result<(String, u64), String> {
        self.apply(&mut self.lock(), text, for_good)
    }

    fn apply(&self, now: &mut Filter, text: &str, for_good: bool) -> Result<(String, u64), String> {
        let Some(reload) = &self.0.reload else {
            return Err(
                "this program has a log of its own; its filter cannot be changed from here"
                    .to_owned(),
            );
        };
        let filter = parse(text)?;
        reload.reload(filter).map_err(|error| error.to_string())?;
        now.changes += 1;
        if for_good {
            text.clone_into(&mut now.lasting);
        }
        Ok((std::mem::replace(&mut now.text, text.to_owned()), now.changes))
    }

    /// Goes back to the filter without a time limit, if this change was the last.
    pub(super) fn restore(&self, change: u64) {
        let mut now = self.lock();
        let text = now.lasting.clone();
        if now.changes == change && self.apply(&mut now, &text, true).is_ok() {
            drop(now);
            tracing::info!(target: "cbs::log", "the filter of the log is `{text}` again");
        }
    }

    /// Sends all lines from now on to this queue too. The first queue stays.
    pub(super) fn export(&self, queue: Queue<LogRecord>) {
        drop(self.0.exported.set(queue));
    }

    /// Returns the counters of the telemetry itself.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    fn lock(&self) -> MutexGuard<'_, Filter> {
        self.0.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Reads a filter. Libraries that it does not name log nothing.
fn parse(text: &str) -> Result<EnvFilter, String> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(format!(
            "a filter has at most {FILTER_BYTES_MAX} bytes, this one has {}",
            text.len()
        ));
    }
    let wrong = |error: &dyn fmt::Display| {
        format!("`{text}`: {error}; write `info`, or `warn,bus_nats=debug`")
    };
    // Otherwise it would be read as `off`, which also hides errors.
    if text.split(',').all(|part| part.trim().is_empty()) {
        return Err(wrong(&"it is empty; `off` turns the log off"));
    }
    let unknown = |part: &&str| {
        !part.contains('=') && !is_level(part) && !part.contains("::") && !part.contains('[')
    };
    if let Some(word) =
        text.split(',').map(str::trim).find(|part| !part.is_empty() && unknown(part))
    {
        return Err(wrong(&format_args!(
            "`{word}` is no level: they are off, error, warn, info, debug and trace"
        )));
    }
    let families: Vec<&str> =
        text.split(',').filter_map(|part| part.trim().split(['=', '[', ':']).next()).collect();
    let quiet = LIBRARIES
        .iter()
        .filter(|library| !families.contains(library))
        .map(|library| format!(",{library}=off"));
    format!("{text}{}", quiet.collect::<String>())
        .parse()
        .map_err(|error: tracing_subscriber::filter::ParseError| wrong(&error))
}

fn is_level(word: &str) -> bool {
    word.parse::<tracing::metadata::LevelFilter>().is_ok()
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
