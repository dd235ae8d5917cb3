//! A nats-server for a test.

use std::time::Duration;

use bus_nats::server::{Server, Settings, StartError};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::within;

/// Limit that is longer than the limits of [`Server::start`] and [`Server::stop`].
const LIMIT: Duration = Duration::from_secs(15);

/// A real nats-server that runs as long as the test, on its own port.
///
/// ```no_run
/// # async fn example() {
/// let mut server = testkit::NatsServer::start().await;
/// let client = async_nats::connect(server.url()).await.unwrap();
/// server.kill().await;
/// // The client notices …
/// server.restart().await;
/// // … and connects again: url and port are the same.
/// # }
/// ```
#[derive(Debug)]
pub struct NatsServer {
    server: Option<Server>,
    url: String,
    settings: Settings,
    /// Folder where JetStream keeps its data, removed at the end.
    store: Option<TempDir>,
}

impl NatsServer {
    /// Starts a server without JetStream.
    ///
    /// # Panics
    /// If there is no nats-server on this machine, or it does not start; the message says what to
    /// do.
    pub async fn start() -> Self {
        Self::with_settings(Settings::default()).await
    }

    /// Starts a server with more of its own configuration, such as an `authorization` block.
    ///
    /// If the server does not start.
    /// When the server does not start.
    pub async fn with_config(extra: &str) -> Self {
        Self::with_settings(Settings { extra: extra.to_owned(), ..Settings::default() }).await
    }

    /// Starts a server.
    ///
    /// # Panics
    /// If the server does not start.
    pub async fn with_settings(settings: Settings) -> Self {
        let started = Self::try_with_settings(settings).await;
        started.unwrap_or_else(|error| panic!("this test needs a nats-server: {error}"))
    }

    /// Does the same, and returns the error if the server does not start.
    pub(crate) async fn try_with_settings(settings: Settings) -> Result<Self, StartError> {
        let server = within(LIMIT, "the start of a nats-server", Server::start(settings)).await?;
        let settings = Settings { port: Some(server.port()), ..server.settings().clone() };
        Ok(Self { url: server.url().to_owned(), settings, server: Some(server), store: None })
    }

    /// Starts a server with JetStream. Its data stay after a restart, and are removed when this
    /// value is dropped.
    ///
    /// # Panics
    /// If the server does not start.
    pub async fn with_jetstream() -> Self {
        let store = tempfile::Builder::new()
            .prefix("cbs-jetstream-")
            .tempdir()
            .expect("a temporary folder");
        let settings = Settings { store: Some(store.path().to_owned()), ..Settings::default() };
        Self { store: Some(store), ..Self::with_settings(settings).await }
    }

    /// Returns the address for clients; the same after a restart.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the port on 127.0.0.1; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.settings.port.unwrap_or_default()
    }

    /// Kills the server (SIGKILL). Its port refuses connections until [`Self::restart`].
    pub async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            within(LIMIT, "the end of a killed nats-server", server.kill()).await;
        }
    }

    /// Stops the server as an operator would (SIGTERM).
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            within(LIMIT, "the end of a stopped nats-server", server.stop()).await;
        }
    }

    /// Starts a new server on the same port with the same settings and store, and kills the old one
    /// if it still runs.
    ///
    /// # Panics
    /// If the server does not start.
    pub async fn restart(&mut self) {
        self.kill().await;
        let started = Self::with_settings_again(self.settings.clone());
        let server = within(2 * LIMIT, "a nats-server on the port that it had", started).await;
        *self = Self { store: self.store.take(), ..server };
    }

    /// Starts a server again on its port and store. Something else may hold them for a moment: a
    /// connection that was given the port, or a process that another test has forked and that has
    /// not become its program yet.
    async fn with_settings_again(settings: Settings) -> Self {
        loop {
            match Self::try_with_settings(settings.clone()).await {
                Err(StartError::PortTaken(_) | StartError::StoreTaken(_)) => {
                    tokio::task::yield_now().await;
                }
                other => {
                    return other.unwrap_or_else(|error| {
                        panic!("this test needs its nats-server again: {error}")
                    });
                }
            }
        }
    }

    /// Freezes the server (SIGSTOP): connections stay open and nothing comes back.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        // The signal takes a moment, in which the server may still answer.
        #[cfg(target_os = "linux")]
        {
            use nix::sys::wait::{Id, WaitPidFlag, waitid};
            let stopped = waitid(Id::Pid(self.pid()), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT);
            stopped.expect("the server is our child");
        }
    }

    /// Continues a frozen server (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Returns the last lines of the server's log; empty if it does not run.
    #[must_use]
    pub fn last_words(&self) -> String {
        self.server.as_ref().map(Server::last_words).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        let server = self.server.as_ref().expect("the server runs");
        Pid::from_raw(server.pid().cast_signed())
    }

    fn signal(&self, signal: Signal) {
        signal::kill(self.pid(), signal).expect("the server is our child");
    }
}
