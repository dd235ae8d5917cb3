//! End of the program: only this module knows the exit statuses.

use std::{fmt, process::ExitCode};

/// An exit status of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The work that was asked for is done.
    Done = 0,
    /// The work failed.
    Failed = 1,
    /// The program could not start: no server, or a missing path.
    NotStarted = 2,
    /// The program was called in a wrong way (`EX_USAGE` of sysexits.h).
    Usage = 64,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// Reason why a command ended early: the message for its user, and the status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// Message for the user, on stderr. It is empty if the message has been written already.
    pub(crate) message: String,
}

impl Failure {
    /// Makes a failure of the work.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self { status: Status::Failed, message: message.to_string() }
    }

    /// Makes a failure to start.
    pub(crate) fn not_started(message: impl fmt::Display) -> Self {
        Self { status: Status::NotStarted, message: message.to_string() }
    }

    /// Makes a failure of a call in a wrong way.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { status: Status::Usage, message: message.to_string() }
    }
}

impl From<anyhow::Error> for Failure {
    /// Puts the whole chain of causes in one line.
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format_args!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}

/// Result of a command.
pub(crate) type Outcome = Result<Status, Failure>;
