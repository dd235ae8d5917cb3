//! Choice of the NATS server, and the connection to it.
//!
//! The server is the named one (`--nats`, `NATS_URL`). Without one, it is a server of this project
//! that runs for this working folder. Without that, commands that serve start a new one, and all
//! others use the usual port of this machine.

mod own;

use std::{convert::Infallible, path::PathBuf, time::Duration};

use bus_nats::{
    CONNECT_TIMEOUT_DEFAULT, ConnectError, ConnectErrorKind, Credentials, Nats, Options, Tls,
    URL_DEFAULT, server,
};
use cbs::{BodyId, Namespace};
use clap::builder::{OsStringValueParser, TypedValueParser};
use tokio::time::Instant;

use self::own::OwnServer;
pub(crate) use self::own::Store;
use crate::{exit::Failure, output, runfile};

/// Time before a connection is tried again: a server that restarts takes a second or two.
const CONNECT_AGAIN: Duration = Duration::from_millis(500);

/// The server and who connects to it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "NATS")]
pub(crate) struct Flags {
    /// The server, for example nats://127.0.0.1:4222; several joined by commas
    /// [default: the one of `cbs up` in this folder, else 127.0.0.1:4222]
    #[arg(long, global = true, env = "NATS_URL", value_name = "URL", hide_env_values = true)]
    nats: Option<String>,
    /// The user's name
    #[arg(long, global = true, env = "NATS_USER", value_name = "NAME", hide_env_values = true)]
    user: Option<String>,
    /// The user's password
    #[arg(long, global = true, env = "NATS_PASSWORD", value_name = "WORD", hide_env_values = true)]
    password: Option<String>,
    /// A token
    #[arg(long, global = true, env = "NATS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// An nkey seed, or a file that holds one
    #[arg(long, global = true, env = "NATS_NKEY", value_name = "SEED", hide_env_values = true)]
    nkey: Option<String>,
    /// A file of credentials (JWT and seed)
    #[arg(long, global = true, env = "NATS_CREDS", value_name = "FILE", hide_env_values = true, value_parser = file())]
    creds: Option<PathBuf>,
    /// Prefix of the subjects of replies, as the user's permissions have it [default: _INBOX]
    #[arg(
        long,
        global = true,
        env = "NATS_INBOX_PREFIX",
        value_name = "SUBJECT",
        hide_env_values = true
    )]
    inbox_prefix: Option<String>,
    /// Refuse a server without TLS
    #[arg(long, global = true)]
    tls: bool,
    /// A PEM file of authorities to trust besides the system's
    #[arg(long, global = true, env = "NATS_CA", value_name = "FILE", hide_env_values = true, value_parser = file())]
    tls_ca: Option<PathBuf>,
    /// A PEM file of the client's certificate
    #[arg(long, global = true, env = "NATS_CERT", value_name = "FILE", hide_env_values = true, value_parser = file())]
    tls_cert: Option<PathBuf>,
    /// A PEM file of the certificate's key
    #[arg(long, global = true, env = "NATS_KEY", value_name = "FILE", hide_env_values = true, value_parser = file())]
    tls_key: Option<PathBuf>,
}

impl Flags {
    /// Returns the server that was named. An empty variable names none.
    pub(crate) fn named(&self) -> Option<&str> {
        filled(self.nats.as_deref())
    }

    /// Returns the options of a connection to a server.
    pub(crate) fn options(&self, url: &str, namespace: &Namespace, body: BodyId) -> Options {
        let text = |value: &Option<String>| filled(value.as_deref()).map(str::to_owned);
        let file =
            |value: &Option<PathBuf>| value.clone().filter(|path| !path.as_os_str().is_empty());
        Options {
            credentials: Credentials {
                user: text(&self.user),
                password: text(&self.password),
                token: text(&self.token),
                nkey: text(&self.nkey),
                creds: file(&self.creds),
            },
            tls: Tls {
                required: self.tls,
                first: false,
                ca: file(&self.tls_ca),
                cert: file(&self.tls_cert),
                key: file(&self.tls_key),
            },
            namespace: namespace.clone(),
            inbox_prefix: text(&self.inbox_prefix),
            ..Options::new(url, body)
        }
    }

    /// Connects a command that sends calls and requests.
    pub(crate) async fn client(&self, namespace: &Namespace) -> Result<Nats, Failure> {
        self.client_within(namespace, CONNECT_TIMEOUT_DEFAULT).await
    }

    /// Connects a command like `client`, within this time limit.
    pub(crate) async fn client_within(
        &self,
        namespace: &Namespace,
        limit: Duration,
    ) -> Result<Nats, Failure> {
        let options = self.client_options(namespace, limit)?;
        Nats::connect_client(options).await.map_err(|error| not_connected(&error))
    }

    /// Connects a command like `client`, and retries for this time while no server answers.
    /// `report` is called once about that.
    pub(crate) async fn client_patient(
        &self,
        namespace: &Namespace,
        limit: Duration,
        report: impl Fn(&str),
    ) -> Result<Nats, Failure> {
        let until = Instant::now() + limit;
        let mut is_told = false;
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(CONNECT_AGAIN);
            // Without any patience it is tried once, for as long as that takes.
            let left = if limit.is_zero() { CONNECT_TIMEOUT_DEFAULT } else { left };
            let options = self.client_options(namespace, left)?;
            let error = match Nats::connect_client(options).await {
                Ok(nats) => return Ok(nats),
                Err(error) => error,
            };
            if error.kind != ConnectErrorKind::Unreachable || Instant::now() + CONNECT_AGAIN > until
            {
                return Err(not_connected(&error));
            }
            if !std::mem::replace(&mut is_told, true) {
                report(&format!("{error}; trying again for {}", output::short(limit)));
            }
            tokio::time::sleep(CONNECT_AGAIN).await;
        }
    }

    fn client_options(&self, namespace: &Namespace, limit: Duration) -> Result<Options, Failure> {
        let named = self.named().map(str::to_owned);
        let url = named.or_else(runfile::find).or_else(usual).ok_or_else(no_server)?;
        let options = self.options(&url, namespace, crate::identity::client());
        Ok(Options { connect_timeout: limit.min(CONNECT_TIMEOUT_DEFAULT), ..options })
    }

    /// Finds the server for a command that serves, and starts one where none was named.
    pub(crate) async fn host(&self, store: Store<'_>) -> Result<ServerChoice, Failure> {
        if let Some(url) = self.named() {
            return Ok(ServerChoice::Running { url: url.to_owned(), whose: Whose::Named });
        }
        if let (Store::Kept(_), Some(url)) = (&store, runfile::find()) {
            return Ok(ServerChoice::Running { url, whose: Whose::Folder });
        }
        let program = match server::find() {
            Ok(program) => program,
            Err(missing) => {
                return Ok(match usual() {
                    Some(url) => ServerChoice::Running { url, whose: Whose::Usual },
                    None => ServerChoice::Missing(missing.to_string()),
                });
            }
        };
        OwnServer::start(program, store)
            .await
            .map(|own| ServerChoice::Own(Box::new(own)))
            .map_err(Failure::not_started)
    }
}

/// The server that a serving command uses.
pub(crate) enum ServerChoice {
    /// A server that runs already.
    Running { url: String, whose: Whose },
    /// A server that this program started.
    Own(Box<OwnServer>),
    /// No server, for this reason: the body runs in process.
    Missing(String),
}

impl ServerChoice {
    /// Returns the address; `None` if there is no server.
    pub(crate) fn url(&self) -> Option<&str> {
        match self {
            Self::Running { url, .. } => Some(url),
            Self::Own(own) => Some(own.url()),
            Self::Missing(_) => None,
        }
    }

    /// Returns a few words about the source of the server.
    pub(crate) fn origin(&self) -> &'static str {
        match self {
            Self::Running { whose: Whose::Named, .. } => "as named",
            Self::Running { whose: Whose::Folder, .. } => "the one of this folder",
            Self::Running { whose: Whose::Usual, .. } => "found at the usual port",
            Self::Own(_) => "started by this program",
            Self::Missing(_) => "none",
        }
    }

    /// Supervises a server that this program started: if it ends, it is started again.
    pub(crate) async fn keep(&mut self) -> Infallible {
        match self {
            Self::Own(own) => own.keep().await,
            _ => std::future::pending().await,
        }
    }

    /// Stops a server that this program started. Other servers are left unchanged.
    pub(crate) async fn stop(self) {
        if let Self::Own(own) = self {
            own.stop().await;
        }
    }

    /// Kills a server that this program started at once, because its streams are not needed.
    pub(crate) async fn kill(self) {
        if let Self::Own(own) = self {
            own.kill().await;
        }
    }
}

/// Source of a server that runs already.
pub(crate) enum Whose {
    /// Named by flag or environment.
    Named,
    /// Started by another body of this working folder.
    Folder,
    /// Any server that listens at the usual port.
    Usual,
}

/// Reads a path that may be empty: an empty variable names no file.
fn file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

fn filled(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.trim().is_empty())
}

/// Makes the failure for a connection that was not made. Its message is one line, whatever the
/// server sent.
pub(crate) fn not_connected(error: &ConnectError) -> Failure {
    Failure::not_started(output::sanitize(&error.to_string()))
}

/// Returns the usual address, if a server listens there.
fn usual() -> Option<String> {
    runfile::lives(URL_DEFAULT).then(|| URL_DEFAULT.to_owned())
}

fn no_server() -> Failure {
    Failure::not_started(
        "no NATS server: none is named (--nats, NATS_URL), no `cbs up` runs one for this folder, and nothing listens \
         at 127.0.0.1:4222; start one with `cbs up PATHS`, or name one with --nats URL",
    )
}
