//! Options of a connection: address, credentials, TLS.

use std::{fmt, path::PathBuf, time::Duration};

use cbs::{BodyId, Namespace};

/// The address of a server on this machine with its usual port.
pub const URL_DEFAULT: &str = "nats://127.0.0.1:4222";
/// Interval after which an unresponsive connection is asked for a sign of life; two missed answers
/// end it.
pub const PING_INTERVAL_DEFAULT: Duration = Duration::from_secs(3);
/// Limit of the time of one attempt to connect.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Options of a connection. [`Options::new`] is enough for most uses.
#[derive(Clone)]
pub struct Options {
    /// `nats://host:port` or `tls://…`, several joined by commas; `user:password@` or `token@`
    /// before the host are taken as credentials.
    pub url: String,
    /// Credentials of the body or client that connects.
    pub credentials: Credentials,
    /// Encryption of the connection.
    pub tls: Tls,
    /// The namespace that the bus speaks in.
    pub namespace: Namespace,
    /// The body (or client) that connects: part of its inbox and its own subjects.
    pub body: BodyId,
    /// Prefix of the subjects of replies, `_INBOX` by default; the body's id follows. Permissions
    /// can allow it to one user only, so that no other reads the replies.
    pub inbox_prefix: Option<String>,
    /// See [`PING_INTERVAL_DEFAULT`].
    pub ping_interval: Duration,
    /// See [`CONNECT_TIMEOUT_DEFAULT`].
    pub connect_timeout: Duration,
}

impl Options {
    /// Returns options for a server at `url`, with defaults for everything else.
    pub fn new(url: impl Into<String>, body: BodyId) -> Self {
        Self {
            url: url.into(),
            credentials: Credentials::default(),
            tls: Tls::default(),
            namespace: Namespace::default(),
            body,
            inbox_prefix: None,
            ping_interval: PING_INTERVAL_DEFAULT,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
        }
    }
}

/// Credentials of the body or client that connects. At most one kind is given; those in the address
/// count as given.
#[derive(Clone, Default)]
pub struct Credentials {
    /// A user's name, with [`Self::password`].
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// A token.
    pub token: Option<String>,
    /// An nkey seed (`SU…`), or the path of a file that holds one.
    pub nkey: Option<String>,
    /// The path of a `.creds` file (JWT and seed).
    pub creds: Option<PathBuf>,
}

impl fmt::Debug for Credentials {
    /// Shows which kinds are given, never their values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = |given: bool| if given { "given" } else { "-" };
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("password", &given(self.password.is_some()))
            .field("token", &given(self.token.is_some()))
            .field("nkey", &given(self.nkey.is_some()))
            .field("creds", &self.creds)
            .finish()
    }
}

/// Encryption of the connection. All empty: as the address and the server say.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Refuse a server without TLS.
    pub required: bool,
    /// Begin TLS before the server's first line (the server's `handshake_first`).
    pub first: bool,
    /// A PEM file of the authorities to trust, besides the system's.
    pub ca: Option<PathBuf>,
    /// A PEM file of the client's certificate, with [`Self::key`].
    pub cert: Option<PathBuf>,
    /// A PEM file of the certificate's key.
    pub key: Option<PathBuf>,
}
