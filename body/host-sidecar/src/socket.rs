//! The socket of one process: in a folder that only this user may enter, for one connection.

use std::{
    fs::Permissions,
    io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::Uid;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

/// Limit of a socket's path in bytes: `sockaddr_un` has 108, the last is a zero.
const PATH_BYTES_MAX: usize = 107;

/// The socket's name within its folder. It is short, because the path has a limit.
const NAME: &str = "s";

/// A socket that waits for its process to connect. Dropping it removes the socket.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// The folder, which is removed with the socket. A killed body leaves it behind: an empty
    /// folder that only its user may enter does no harm, and the system clears the places for such
    /// folders.
    _folder: TempDir,
}

/// Reason why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error(
        "the socket's path `{path}` has {bytes} bytes, a Unix socket's may have {PATH_BYTES_MAX}: set TMPDIR to a \
         shorter folder"
    )]
    TooLong { path: String, bytes: usize },
    #[error("a socket in `{folder}`: {error}; set TMPDIR to a folder that can be written to")]
    Io { folder: String, error: io::Error },
}

impl Socket {
    /// Opens a new socket in the user's run-time folder, or in the temporary folder if there is
    /// none.
    pub(crate) fn open() -> Result<Self, SocketError> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute());
        match runtime.map(|folder| Self::open_in(&folder)) {
            Some(Ok(socket)) => Ok(socket),
            // The folder may belong to another user, after `su`.
            Some(Err(_)) | None => Self::open_in(&std::env::temp_dir()),
        }
    }

    fn open_in(place: &Path) -> Result<Self, SocketError> {
        let wrong = |error| SocketError::Io { folder: place.display().to_string(), error };
        let folder = tempfile::Builder::new()
            .prefix("cbs-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(place)
            .map_err(wrong)?;
        let path = folder.path().join(NAME);
        let bytes = path.as_os_str().as_bytes().len();
        if bytes > PATH_BYTES_MAX {
            return Err(SocketError::TooLong { path: path.display().to_string(), bytes });
        }
        let listener = UnixListener::bind(&path).map_err(wrong)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(wrong)?;
        Ok(Self { listener, path, _folder: folder })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for a process of this user, and then accepts no other: the socket is removed.
    pub(crate) async fn accept(self) -> io::Result<UnixStream> {
        let own = Uid::effective().as_raw();
        loop {
            let (stream, _) = self.listener.accept().await?;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == own => return Ok(stream),
                Ok(peer) => {
                    tracing::warn!(
                        uid = peer.uid(),
                        "another user's process tried a cell's socket"
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "an unknown process tried to connect to a cell's socket");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, io::ErrorKind};

    use super::*;

    fn mode(path: &Path) -> io::Result<u32> {
        Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
    }

    #[tokio::test]
    async fn only_its_user_may_enter_and_only_one_process_connects() -> Result<(), Box<dyn Error>> {
        let socket = Socket::open()?;
        let path = socket.path().to_owned();
        let folder = path.parent().ok_or("a folder")?.to_owned();
        assert_eq!((mode(&folder)?, mode(&path)?), (0o700, 0o600));
        let (accepted, connected) = tokio::join!(socket.accept(), UnixStream::connect(&path));
        let _accepted = accepted?;
        let _connected = connected?;
        let refused = UnixStream::connect(&path).await.err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::NotFound));
        assert!(!folder.exists(), "the folder is removed");
        Ok(())
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_told_with_what_to_do() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let deep = folder.path().join("d".repeat(100));
        std::fs::create_dir(&deep)?;
        let error = Socket::open_in(&deep).err().ok_or("it was opened")?.to_string();
        assert!(
            error.contains("set TMPDIR to a shorter folder") && error.contains("may have 107"),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(&deep)?.count(), 0, "nothing is left");
        Ok(())
    }
}
