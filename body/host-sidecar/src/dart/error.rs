//! What can go wrong between a Dart source and a program.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Why a Dart cell cannot be made a program. The text says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `CBS_DART` names what is no Dart, or one that is too old.
    #[error("CBS_DART is {path}, and {reason}: set it to the `dart` of a Dart SDK, or unset it")]
    Named {
        /// What the variable says.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is none that works.
    #[error(
        "no Dart{}: on Debian run `deploy/setup.sh polyglot`; elsewhere install the Dart SDK from its makers and put \
         `dart` on PATH, or name it in CBS_DART", but(.seen)
    )]
    Nowhere {
        /// What looked like one, and why it is none.
        seen: Vec<String>,
    },
    /// The environment names no folder for what is compiled.
    #[error("nowhere to keep compiled Dart cells: set HOME, XDG_CACHE_HOME or CBS_TOOLS")]
    NoCache,
    /// A folder or file of ours cannot be read or written.
    #[error("cannot {what} {path}: {reason}")]
    Files {
        /// What was tried, a verb.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The source, or what describes its package, is not as it must be.
    #[error("{path}: {reason}")]
    Source {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The compiler refuses the source. Several lines: its own, with `file:line:column`.
    #[error("{} does not compile:\n{output}{hint}", .file.display())]
    Compile {
        /// The cell's source.
        file: PathBuf,
        /// All that the compiler said.
        output: String,
        /// What may help, a line of its own; empty where there is nothing to add.
        hint: String,
    },
    /// The compiler took too long and was ended.
    #[error("{} was not compiled within {} s", .file.display(), .limit.as_secs_f64())]
    Slow {
        /// The cell's source.
        file: PathBuf,
        /// How long it was given.
        limit: Duration,
    },
    /// The source changed each time while it was compiled.
    #[error("{0} keeps changing while it is compiled")]
    Restless(PathBuf),
    /// It was compiled while its kernel serves, and is not what anybody wants any longer.
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
