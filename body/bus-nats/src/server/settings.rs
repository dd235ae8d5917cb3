//! Settings that a server is started with, and the files that it needs.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::StartError;

/// The largest message a server takes unless told otherwise: nats-server's own default.
pub const MAX_PAYLOAD_DEFAULT: usize = 1024 * 1024;
/// Number of the log's last lines that an error shows.
const LOG_LINES: usize = 6;

/// Settings of a server. The default has no JetStream and takes a free port.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program; `None`: [`find`](super::find) finds it.
    pub program: Option<PathBuf>,
    /// Folder where JetStream keeps its data; `None`: no JetStream. Every write is synced to the
    /// disk before it is acknowledged, because otherwise a power cut loses acknowledged data.
    pub store: Option<PathBuf>,
    /// The port on 127.0.0.1; `None`: a free one.
    pub port: Option<u16>,
    /// The largest message in bytes.
    pub max_payload: usize,
    /// More of the server's own configuration, such as an `authorization` or a `tls` block. It
    /// overrides the fields of this struct. It must not have `tls { handshake_first: true }`: the
    /// start waits for the server's `INFO`.
    pub extra: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            program: None,
            store: None,
            port: None,
            max_payload: MAX_PAYLOAD_DEFAULT,
            extra: String::new(),
        }
    }
}

/// Makes the store and locks it: two servers in one store would each destroy the other's data.
pub(super) fn open_store(store: &Path) -> Result<File, StartError> {
    let folder = |source| StartError::Folder { path: store.to_owned(), source };
    fs::create_dir_all(store).map_err(folder)?;
    let lock = File::create(store.join("lock")).map_err(folder)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(StartError::StoreTaken(store.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(folder(source)),
    }
}

/// Writes the configuration and returns the command that runs the server with it.
pub(super) fn command(
    program: &Path,
    folder: &Path,
    settings: &Settings,
) -> Result<Command, StartError> {
    let here = |source| StartError::Folder { path: folder.to_owned(), source };
    let configuration = folder.join("nats-server.conf");
    fs::write(&configuration, configure(settings)?).map_err(here)?;
    let log = File::options().create(true).append(true).open(log_file(folder)).map_err(here)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(configuration).arg("--ports_file_dir").arg(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(here)?).stderr(log);
    Ok(command)
}

fn configure(settings: &Settings) -> Result<String, StartError> {
    let port = settings.port.map_or(-1, i32::from);
    // The server's default ping interval is 2 minutes: a stopped client would keep its share of
    // calls that long.
    let mut text = format!(
        "listen: \"127.0.0.1:{port}\"\nping_interval: \"5s\"\nwrite_deadline: \"5s\"\nmax_payload: {}\n",
        settings.max_payload
    );
    if let Some(store) = &settings.store {
        let path = std::path::absolute(store)
            .map_err(|source| StartError::Folder { path: store.clone(), source })?;
        let path = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
        // Writing into a String cannot fail.
        let _ = writeln!(text, "jetstream {{ store_dir: \"{path}\", sync_interval: always }}");
    }
    text.push_str(&settings.extra);
    Ok(text)
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("nats-server.log")
}

/// The last lines of the log.
pub(super) fn last_words(folder: &Path) -> String {
    let log = fs::read(log_file(folder)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
}
