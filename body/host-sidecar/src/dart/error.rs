//! The errors between a Dart source and its program.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Reason why a Dart cell cannot be made a program. The text says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `CBS_DART` names something that is no Dart, or a Dart that is too old.
    #[error("CBS_DART is {path}, and {reason}: set it to the `dart` of a Dart SDK, or unset it")]
    Named {
        /// Value of the variable.
        path: PathBuf,
        /// Reason why it cannot be used.
        reason: String,
    },
    /// No Dart was found that works.
    #[error(
        "no Dart{}: on Debian run `deploy/setup.sh polyglot`; on other systems install the Dart SDK from its makers and put \
         `dart` on PATH, or name it in CBS_DART", but(.seen)
    )]
    Nowhere {
        /// Programs that looked like a Dart, each with the reason why it is none.
        seen: Vec<String>,
    },
    /// The environment names no folder for compiled cells.
    #[error("nowhere to keep compiled Dart cells: set HOME, XDG_CACHE_HOME or CBS_TOOLS")]
    NoCache,
    /// A file or folder that belongs to the builder cannot be read or written.
    #[error("cannot {what} {path}: {reason}")]
    Files {
        /// The action that failed, a verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Message of the system.
        reason: String,
    },
    /// The source, or a file that describes its package, has a mistake.
    #[error("{path}: {reason}")]
    Source {
        /// The file.
        path: PathBuf,
        /// Description of the mistake.
        reason: String,
    },
    /// The compiler refuses the source. The text has several lines, with `file:line:column`.
    #[error("{} does not compile:\n{output}{hint}", .file.display())]
    Compile {
        /// The cell's source.
        file: PathBuf,
        /// All output of the compiler.
        output: String,
        /// A hint in a line of its own; empty if there is none.
        hint: String,
    },
    /// The compiler took too long and was ended.
    #[error("{} was not compiled within {} s", .file.display(), .limit.as_secs_f64())]
    Slow {
        /// The cell's source.
        file: PathBuf,
        /// Limit of the time that it had.
        limit: Duration,
    },
    /// The source changed each time while it was compiled.
    #[error("{0} keeps changing while it is compiled")]
    Restless(PathBuf),
    /// The compilation ran while the kernel served, and its result is no longer wanted.
    #[error("not compiled: the source has changed since, or was asked for anew")]
    Superseded,
    /// The body is stopping.
    #[error("not compiled: the body is stopping")]
    Stopped,
}

impl Error {
    pub(super) fn files(what: &'static str, path: &Path, reason: &impl fmt::Display) -> Self {
        Self::Files { what, path: path.to_path_buf(), reason: reason.to_string() }
    }

    pub(super) fn source(path: &Path, reason: impl Into<String>) -> Self {
        Self::Source { path: path.to_path_buf(), reason: reason.into() }
    }
}

fn but(seen: &[String]) -> String {
    if seen.is_empty() { String::new() } else { format!(" that works ({})", seen.join("; ")) }
}
