//! How to connect: address, credentials, TLS.

use std::{fmt, path::PathBuf, time::Duration};

use cbs::{BodyId, Namespace};

/// The address of a server on this machine with its usual port.
pub const URL_DEFAULT: &str = "nats://127.0.0.1:4222";
/// How often a silent connection is asked for a sign of life; two missed answers end it.
pub const PING_INTERVAL_DEFAULT: Duration = Duration::from_secs(3);
/// How long one attempt to connect may take.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Where and how to connect. [`Options::new`] is enough for most.
#[derive(Clone)]
pub struct Options {
    /// `nats://host:port` or `tls://…`, several joined by commas; `user:password@` or `token@`
    /// before the host are taken as credentials.
    pub url: String,
    /// Who connects.
    pub credentials: Credentials,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// The namespace that the bus speaks in.
    pub namespace: Namespace,
    /// The body (or client) that connects: part of its inbox and its own subjects.
    pub body: BodyId,
    /// What the subjects of replies begin with, `_INBOX` by default; the body's id follows. Permissions can
    /// keep it to one user, so that no other reads the replies.
    pub inbox_prefix: Option<String>,
    /// See [`PING_INTERVAL_DEFAULT`].
    pub ping_interval: Duration,
    /// See [`CONNECT_TIMEOUT_DEFAULT`].
    pub connect_timeout: Duration,
}

impl Options {
    /// Options for a server at `url`, and defaults for all else.
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

/// Who connects. At most one kind is given; those in the address count as given.
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
    /// Says which kinds are given, never what they are.
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

/// How the connection is encrypted. All empty: as the address and the server say.
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
