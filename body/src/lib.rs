//! The body: it hosts cells, connects them to NATS and keeps them alive; and the program `cbs`.
//!
//! Any program can be built like `cbs`: link your cells in, and all of its commands know them.
//!
//! ```no_run
//! use cbs::{CellContext, CellError};
//!
//! async fn shout(_: &CellContext, text: String) -> Result<String, CellError> {
//!     Ok(text.to_uppercase())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     body::main_with(vec![cbs::cell("logic.shout", shout)])
//! }
//! ```
//!
//! # Layout
//!
//! - [`main_with`]: the program, from arguments to exit status. [`greeting_cells`]: the cells that
//!   `cbs` itself has.
//! - `cli`: one file for each command. `output`: standard output and standard error. `exit`: exit
//!   statuses.
//! - `app`: a body, from specs to the last answered call.
//! - `fleet`: deploys, and the body as a member of a fleet. `bundle`: the code of a cell as one
//!   sequence of bytes.
//! - `nats`, `runfile`: the choice of the server. `console`: the terminal for cells. `telemetry`:
//!   spans and the log.
//! - `http`, `health`, `metrics`: the status of a body for probes and scrapers.
//! - `specs`, `identity`, `signals`: specs from paths, ids, SIGINT and SIGTERM.
//! - `code`, `watch`: the code of cells, and the reload when it changes.

mod app;
mod bundle;
mod cli;
mod code;
mod console;
mod exit;
mod fleet;
mod health;
mod http;
mod identity;
mod metrics;
mod nats;
mod output;
mod runfile;
mod signals;
mod specs;
mod telemetry;
mod watch;

use std::process::ExitCode;

use cbs::NativeCell;

/// Runs the whole program with these cells linked in: reads the arguments, carries out the command,
/// and returns the exit status (0 done, 1 failed, 2 could not start, 64 wrong usage).
///
/// Sets the process's TLS provider to rustls with ring, unless the process has one.
#[must_use]
pub fn main_with(cells: Vec<NativeCell>) -> ExitCode {
    // Before all else: a worker speaks with its body alone, and has neither commands nor a log of
    // its own.
    #[cfg(feature = "python")]
    if std::env::args_os().nth(1).is_some_and(|word| word == host_python::WORKER_COMMAND) {
        return host_python::worker(std::env::args_os().skip(2));
    }
    // A shell's completion wants candidates, and nothing else.
    if let Some(status) = cli::answer_shell() {
        return status.into();
    }
    // Refused where the program installed one before; that one serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = cli::parse().and_then(|cli| {
        let (log, _last_lines) = telemetry::Log::start(cli.log_level())?;
        cli.run(cells, log)
    });
    let status = outcome.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            output::error(&failure.message);
        }
        failure.status
    });
    status.into()
}

/// Returns the cells of the greeting, which the program `cbs` has linked in.
#[must_use]
pub fn greeting_cells() -> Vec<NativeCell> {
    vec![io_prompt_name::cell(), logic_greet::cell(), io_print_greeting::cell()]
}

/// Returns a function that writes the metrics of a body with this many cells, all of them called,
/// and returns the number of bytes of the page. With `true` the page is in OpenMetrics. For
/// benchmarks.
#[doc(hidden)]
pub fn metrics_of_cells(cells: usize) -> impl Fn(bool) -> usize + Send {
    metrics::of_cells(cells)
}
