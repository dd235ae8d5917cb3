//! The log: on standard error, for a person on a terminal, as JSON otherwise; `CBS_LOG` filters.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::exit::Failure;

/// The environment variable that filters the log, for example `debug` or `info,bus_nats=trace`.
const VARIABLE: &str = "CBS_LOG";

/// Starts the log.
///
/// # Errors
/// Usage, for a filter that is none.
pub(crate) fn start(level_default: &str) -> Result<(), Failure> {
    let filter = std::env::var(VARIABLE).ok().filter(|filter| !filter.trim().is_empty());
    // async-nats tells in its own words what bus-nats tells in ours.
    let filter = filter.unwrap_or_else(|| format!("{level_default},async_nats=off"));
    let filter: EnvFilter = filter.parse().map_err(|error: ParseError| {
        Failure::usage(format_args!("{VARIABLE} is no filter: {error}; write `info`, or `warn,bus_nats=debug`"))
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let person = io::stderr().is_terminal();
    let started = if person {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        log.with_ansi(colour).with_target(false).try_init()
    } else {
        log.json().try_init()
    };
    // A program that started a log of its own before `main_with` keeps it.
    drop(started);
    Ok(())
}
