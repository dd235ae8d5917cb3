//! Reasons why a connection could not be made.

/// Kind of failure of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// The address is invalid.
    Address,
    /// Nothing listens there, or it cannot be reached.
    Unreachable,
    /// The server does not accept the credentials.
    Refused,
    /// A file of credentials or certificates cannot be read.
    Files,
    /// The program that listens there does not speak NATS, or TLS failed.
    Protocol,
}

/// Reason why a connection could not be made, and one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}; {hint}")]
pub struct ConnectError {
    /// Kind of failure.
    pub kind: ConnectErrorKind,
    /// Description of the failure: one line, without secrets.
    pub message: String,
    /// Advice what to do: one line.
    pub hint: String,
}
