//! A nats-server that this process starts: found, started, watched, and always ended.
//!
//! The program `cbs` starts one if no server was named, and the tests start theirs the same way. It
//! listens on loopback, and ends with the process that started it, in whatever way that ends.
//!
//! ```no_run
//! use bus_nats::server::{Server, Settings};
//! # async fn example() -> Result<(), bus_nats::server::StartError> {
//! let server = Server::start(Settings::default()).await?;
//! println!("nats-server runs at {}", server.url());
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

mod find;
mod settings;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use process::{Options, Process};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpStream, time};

use self::settings::{command, last_words, open_store};
pub use self::{
    find::{NotFound, find},
    settings::{MAX_PAYLOAD_DEFAULT, Settings},
};

/// Limit of the time that a start may take; it usually takes some 10 ms.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Limit of the time that a server may take to end after SIGTERM, before SIGKILL.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Interval between two checks for the ports file.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Text for a port that is in use, as it stands in the server's log.
const PORT_TAKEN: &str = "address already in use";

/// Reason why a server did not start. The first line says all that the operator needs; the log's
/// lines follow it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No program was found.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// The program could not be run.
    #[error("{} cannot be run: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another program listens on the port.
    #[error("port {0} of 127.0.0.1 is taken: stop what listens there, or choose another port")]
    PortTaken(u16),
    /// Another server that CBS started uses the store.
    #[error("the store {} is in use by another body's server: stop that body, or use its server", .0.display())]
    StoreTaken(PathBuf),
    /// The folder for the configuration, the log or the store cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The server ended before it was ready.
    #[error("nats-server ended at once ({how}):\n{log}")]
    Ended {
        /// Kind of its end.
        how: String,
        /// The last lines of its log.
        log: String,
    },
    /// The server runs and was not ready in time; it has been killed.
    #[error("nats-server was not ready within {} s:\n{log}", START_LIMIT.as_secs())]
    TimedOut {
        /// The last lines of its log.
        log: String,
    },
}

/// A running nats-server. Dropping it kills the server and waits for its end.
#[derive(Debug)]
pub struct Server {
    process: Process,
    url: String,
    port: u16,
    folder: TempDir,
    settings: Settings,
    /// Locked while this process uses the store.
    _store: Option<File>,
}

impl Server {
    /// Starts a server and waits until it answers. Dropping the future kills what has been started.
    ///
    /// # Errors
    /// [`StartError`]: no program, a taken port or store, a configuration that the server refuses.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let program = settings.program.clone().map_or_else(find, Ok)?;
        let folder = tempfile::Builder::new()
            .prefix("cbs-nats-")
            .tempdir()
            .map_err(|source| StartError::Folder { path: std::env::temp_dir(), source })?;
        let store = settings.store.as_deref().map(open_store).transpose()?;
        let command = command(&program, folder.path(), &settings)?;
        let process = Process::spawn(command, Options::default())
            .await
            .map_err(|source| StartError::Spawn { program, source })?;
        let started = tokio::select! {
            ready = time::timeout(START_LIMIT, ready(folder.path())) => ready.map_err(|_| None),
            exit = process.ended() => Err(Some(exit.to_string())),
        };
        match started {
            Ok((url, port)) => Ok(Self { process, url, port, folder, settings, _store: store }),
            Err(how) => {
                let log = last_words(folder.path());
                process.kill_blocking();
                Err(match (how, settings.port) {
                    (Some(_), Some(port)) if log.contains(PORT_TAKEN) => {
                        StartError::PortTaken(port)
                    }
                    (Some(how), _) => StartError::Ended { how, log },
                    (None, _) => StartError::TimedOut { log },
                })
            }
        }
    }

    /// Returns the address for clients: `nats://127.0.0.1:<port>`, without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns the settings that it was started with. With `port` set to [`Self::port`] they start
    /// a server that replaces it.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The last lines of the server's log.
    #[must_use]
    pub fn last_words(&self) -> String {
        last_words(self.folder.path())
    }

    /// Waits until the server has ended, by itself or because another process ended it. Returns how
    /// it ended, for example `exited with 1`.
    pub async fn ended(&self) -> String {
        self.process.ended().await.to_string()
    }

    /// Asks the server to stop, waits for its end, and kills it if that takes too long.
    pub async fn stop(self) {
        if self.process.terminate(STOP_LIMIT).await.is_none() {
            self.kill().await;
        }
    }

    /// Kills the server and waits for its end.
    pub async fn kill(self) {
        self.process.kill().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Waits, so that port and store are free and no process uses the folder below.
        self.process.kill_blocking();
    }
}

/// Waits until the server has written its port and greets a client that connects there.
async fn ready(folder: &Path) -> (String, u16) {
    let started = Instant::now();
    loop {
        if let Some((url, port)) = ports(folder)
            && greets(port).await.is_ok_and(|greets| greets)
        {
            tracing::debug!(target: "cbs::nats", %url, took = ?started.elapsed(), "nats-server is ready");
            return (url, port);
        }
        time::sleep(LOOK_EVERY).await;
    }
}

/// Returns the address in the ports file, once the file exists and is complete.
fn ports(folder: &Path) -> Option<(String, u16)> {
    #[derive(serde::Deserialize)]
    struct Ports {
        nats: Vec<String>,
    }
    let mut files = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let file = files.find(|path| path.extension().is_some_and(|ending| ending == "ports"))?;
    let ports: Ports = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let url = ports.nats.into_iter().next()?;
    let (_, port) = url.rsplit_once(':')?;
    let port = port.parse().ok()?;
    Some((url, port))
}

async fn greets(port: u16) -> io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut word = [0; 5];
    stream.read_exact(&mut word).await?;
    Ok(&word == b"INFO ")
}
