//! How the program ends: the only place that knows exit statuses.

use std::{fmt, process::ExitCode};

/// An exit status of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// What was asked for is done.
    Done = 0,
    /// The work failed.
    Failed = 1,
    /// It could not start: no server, a missing path.
    NotStarted = 2,
    /// It was called in the wrong way (`EX_USAGE` of sysexits.h).
    Usage = 64,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// Why a command ended early: what its user is told, and the status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// For a person, on stderr; empty where all has been said.
    pub(crate) message: String,
}

impl Failure {
    /// The work failed.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self { status: Status::Failed, message: message.to_string() }
    }

    /// It could not start.
    pub(crate) fn not_started(message: impl fmt::Display) -> Self {
        Self { status: Status::NotStarted, message: message.to_string() }
    }

    /// It was called in the wrong way.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { status: Status::Usage, message: message.to_string() }
    }
}

impl From<anyhow::Error> for Failure {
    /// The whole chain of causes in one line.
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format_args!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}

/// What a command gives back.
pub(crate) type Outcome = Result<Status, Failure>;
