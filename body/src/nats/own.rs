//! A nats-server that this program starts: it is supervised, found by other commands, and stopped.

use std::{
    convert::Infallible,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use bus_nats::server::{self, Server, StartError};

use crate::runfile::RunFile;

/// Least time between two starts of the server.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Place where the server keeps its streams.
pub(crate) enum Store<'a> {
    /// In a folder that stays.
    Kept(&'a Path),
    /// In a folder that is removed with the server.
    Temporary,
}

/// A server that this program started, and the file with its address for other commands.
pub(crate) struct OwnServer {
    /// `None` only while it is started again.
    server: Option<Server>,
    url: String,
    left: Option<RunFile>,
    _store: Option<tempfile::TempDir>,
}

impl OwnServer {
    pub(super) async fn start(program: PathBuf, store: Store<'_>) -> Result<Self, StartError> {
        let (folder, temporary) = match store {
            Store::Kept(folder) => {
                keep_out_of_git(folder);
                (folder.to_owned(), None)
            }
            Store::Temporary => {
                let folder = tempfile::Builder::new().prefix("cbs-store-").tempdir();
                let folder = folder
                    .map_err(|source| StartError::Folder { path: std::env::temp_dir(), source })?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let settings =
            server::Settings { program: Some(program), store: Some(folder), ..Default::default() };
        let server = Server::start(settings).await?;
        let left = RunFile::leave(server.url());
        Ok(Self { url: server.url().to_owned(), server: Some(server), left, _store: temporary })
    }

    /// Returns the address for clients.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server as an operator would.
    pub(super) async fn stop(self) {
        drop(self.left);
        if let Some(server) = self.server {
            server.stop().await;
        }
    }

    /// Kills the server.
    pub(super) async fn kill(self) {
        drop(self.left);
        if let Some(server) = self.server {
            server.kill().await;
        }
    }

    /// Starts the server again, on the same port and with the same streams, each time it ends.
    pub(super) async fn keep(&mut self) -> Infallible {
        loop {
            let Some(server) = &self.server else { std::future::pending().await };
            let how = server.ended().await;
            tracing::error!("our nats-server has ended ({how}); starting it again");
            let settings =
                server::Settings { port: Some(server.port()), ..server.settings().clone() };
            // Gives up the store, which the next one needs.
            self.server = None;
            while self.server.is_none() {
                match Server::start(settings.clone()).await {
                    Ok(server) => self.server = Some(server),
                    Err(error) => {
                        tracing::error!("our nats-server cannot be started again: {error}");
                    }
                }
                // Also after a success: one that ends at once must not be started in a tight loop.
                tokio::time::sleep(RESTART_DELAY).await;
            }
        }
    }
}

/// Keeps the parent folder of the store out of git repositories, because it holds only the server's
/// own files.
fn keep_out_of_git(store: &Path) {
    let Some(parent) = store.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return;
    };
    // A folder that cannot be written is reported when the store is opened.
    let _ = std::fs::create_dir_all(parent);
    if let Ok(mut file) = std::fs::File::create_new(parent.join(".gitignore")) {
        let _ = file.write_all(b"*\n");
    }
}
