//! The reasons why a sidecar does not serve, or does not serve any more.

use std::{fmt, io, path::PathBuf};

use cbs::{CellError, CellName, NameError};

use super::SOCKET_VARIABLE;
use crate::{End, PROTOCOL, wire};

/// Reason why a sidecar does not serve, or does not serve any more. Its `Debug` is its text, so
/// that a `main` which returns it prints a text for people.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program was started by a person, not by a body.
    #[error(
        "this program is a sidecar, a body has to start it ({SOCKET_VARIABLE} is not set): \
         name it in a cell's spec as `runtime: exec` with a `command`, and `cbs up` that"
    )]
    NotStartedByABody,
    /// A cell has a name that is not valid.
    #[error("{0}")]
    BadName(#[from] NameError),
    /// Two cells have the same name.
    #[error("two cells are named `{0}`")]
    Duplicate(CellName),
    /// No asynchronous runtime could be made.
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::Error),
    /// The body's socket cannot be reached.
    #[error("the body's socket {path} cannot be reached: {cause}")]
    Connect {
        /// Path of the socket.
        path: PathBuf,
        /// Reason why it cannot be reached.
        cause: io::Error,
    },
    /// The handshake took too long.
    #[error("the body gave no welcome within {0} s")]
    NoWelcome(u64),
    /// The body sent something else than welcome.
    #[error("the body said {0} instead of welcome")]
    NotWelcome(&'static str),
    /// The body speaks another version.
    #[error("the body speaks version {0} of the sidecar protocol, this program speaks {PROTOCOL}")]
    Version(u32),
    /// The received bytes are no frame, or the stream failed.
    #[error("{0}")]
    Wire(#[from] wire::Error),
    /// The body wants a cell that this program does not have.
    #[error("the body wants the cell `{wanted}`, this program has {}", names(.has))]
    NoSuchCell {
        /// Name of the cell that the body wants.
        wanted: String,
        /// Names of the cells of this program.
        has: Vec<CellName>,
    },
    /// The config in welcome is no JSON.
    #[error("the config of `{cell}` is no JSON: {cause}")]
    Config {
        /// The cell.
        cell: String,
        /// The mistake in the config.
        cause: serde_json::Error,
    },
    /// A start hook failed.
    #[error("the start hook of `{cell}` failed: {cause}")]
    Start {
        /// The cell.
        cell: CellName,
        /// Its error.
        cause: CellError,
    },
    /// The connection ended before the body had drained this process.
    #[error("the connection to the body has ended: {0}")]
    Ended(End),
}

fn names(cells: &[CellName]) -> String {
    let names: Vec<_> = cells.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
