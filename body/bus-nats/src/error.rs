//! Why no connection came about.

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// The address is none.
    Address,
    /// Nothing listens there, or it cannot be reached.
    Unreachable,
    /// The server does not accept the credentials.
    Refused,
    /// A file of credentials or certificates cannot be read.
    Files,
    /// Something listens there that speaks no NATS, or TLS failed.
    Protocol,
}

/// Why no connection came about, and one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}; {hint}")]
pub struct ConnectError {
    /// What kind of failure it is.
    pub kind: ConnectErrorKind,
    /// What happened, one line, without secrets.
    pub message: String,
    /// What to do about it, one line.
    pub hint: String,
}
