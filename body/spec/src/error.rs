//! Errors of a load.

use std::{fmt, io, path::PathBuf};

use crate::Diagnostics;

/// Reason why a load returned no specs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Some of the given paths cannot be followed, most often because they are not there;
    /// nothing was read. The program's exit status is 2.
    #[error("{}", join(.0))]
    Paths(Vec<PathError>),
    /// The specs have mistakes. The program's exit status is 1.
    #[error("{0}")]
    Mistakes(Diagnostics),
}

impl Error {
    /// The mistakes; `None` where nothing was read.
    #[must_use]
    pub fn diagnostics(&self) -> Option<&Diagnostics> {
        match self {
            Self::Mistakes(diagnostics) => Some(diagnostics),
            Self::Paths(_) => None,
        }
    }
}

/// A given path that cannot be followed.
#[derive(Debug)]
pub struct PathError {
    /// The path as it was given.
    pub path: PathBuf,
    /// Error of the operating system.
    pub source: io::Error,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.source.kind() {
            io::ErrorKind::NotFound => write!(f, "there is no file or folder `{path}`"),
            _ => write!(f, "`{path}` cannot be read: {}", self.source),
        }
    }
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn join(errors: &[PathError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
