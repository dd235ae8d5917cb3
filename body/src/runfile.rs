//! The file with the address of a server of this project: one small file for each user and working
//! folder. The program that started the server writes it, and commands in the same folder read it.

use std::{
    fs, io,
    net::{TcpStream, ToSocketAddrs},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Limit of the time that a server on this machine has to accept a connection.
const REACH_LIMIT: Duration = Duration::from_millis(250);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Left {
    /// The working folder. It distinguishes two folders of the same hash.
    folder: PathBuf,
    /// The server's address.
    url: String,
    /// The process that started it.
    pid: u32,
}

/// The file of a working folder, removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct RunFile {
    file: PathBuf,
    left: Left,
}

impl RunFile {
    /// Writes a server's address for the commands of this working folder. Returns `None` if the
    /// file names another server that runs, or if nothing can be written.
    pub(crate) fn leave(url: &str) -> Option<Self> {
        let (runs, here) = (runs()?, here()?);
        leave_in(&runs, here, url)
            .inspect_err(
                |error| tracing::warn!(folder = %runs.display(), %error, "the server's address cannot be left"),
            )
            .ok()
            .flatten()
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        if read(&self.file).is_some_and(|left| left == self.left) {
            // What cannot be removed is stale, and is ignored by who reads it.
            let _ = fs::remove_file(&self.file);
        }
    }
}

/// Returns the address of the server that another program wrote for this working folder, if that
/// server runs.
pub(crate) fn find() -> Option<String> {
    find_in(&runs()?, &here()?)
}

fn leave_in(runs: &Path, folder: PathBuf, url: &str) -> io::Result<Option<RunFile>> {
    if find_in(runs, &folder).is_some() {
        return Ok(None);
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(runs)?;
    let file = file_of(runs, &folder);
    let left = Left { folder, url: url.to_owned(), pid: std::process::id() };
    let part = runs.join(format!(".{}.new", left.pid));
    // Moved into place whole: a reader never sees half of it.
    let writer =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    serde_json::to_writer(writer, &left)?;
    fs::rename(&part, &file)?;
    Ok(Some(RunFile { file, left }))
}

fn find_in(runs: &Path, folder: &Path) -> Option<String> {
    let file = file_of(runs, folder);
    let left = read(&file).filter(|left| left.folder == folder)?;
    // The server ended with its program; whatever answers at its port now is another.
    if !runs_still(left.pid) {
        let _ = fs::remove_file(&file);
        return None;
    }
    // A running body starts its server again, at the same address.
    lives(&left.url).then_some(left.url)
}

fn read(file: &Path) -> Option<Left> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// True if the process runs. A process that this one may not signal counts as running.
pub(crate) fn runs_still(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    !matches!(
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None),
        Err(nix::errno::Errno::ESRCH)
    )
}

/// True if a server accepts connections at this address.
pub(crate) fn lives(url: &str) -> bool {
    let address = url.rsplit_once("://").map_or(url, |(_, address)| address);
    let found = address.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.is_some_and(|address| TcpStream::connect_timeout(&address, REACH_LIMIT).is_ok())
}

/// Returns `$XDG_RUNTIME_DIR/cbs`, else `cbs/run` in the user's cache folder.
fn runs() -> Option<PathBuf> {
    let variable =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let runtime = variable("XDG_RUNTIME_DIR")
        .filter(|folder| folder.is_dir())
        .map(|folder| folder.join("cbs"));
    let cache = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    runtime.or_else(|| Some(cache()?.join("cbs/run")))
}

fn here() -> Option<PathBuf> {
    std::env::current_dir().and_then(|here| here.canonicalize()).ok()
}

fn file_of(runs: &Path, folder: &Path) -> PathBuf {
    // FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): programs of any version must agree on
    // it.
    let bytes = folder.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    runs.join(format!("{hash:016x}.json"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_was_left_is_found_in_the_same_folder_alone_and_goes_when_dropped() {
        let runs = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("nats://{}", server.local_addr().unwrap());
        let here = PathBuf::from("/here");
        let there = PathBuf::from("/there");
        let left = leave_in(runs.path(), here.clone(), &url).unwrap().unwrap();
        assert_eq!(find_in(runs.path(), &here), Some(url));
        assert_eq!(find_in(runs.path(), &there), None);
        assert!(leave_in(runs.path(), here.clone(), "nats://127.0.0.1:1").unwrap().is_none());
        drop(left);
        assert_eq!(find_in(runs.path(), &here), None);
        assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_stale_address_is_removed_and_may_be_replaced() {
        let runs = tempfile::tempdir().unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let here = PathBuf::from("/here");
        let left = leave_in(runs.path(), here.clone(), &format!("nats://{gone}")).unwrap().unwrap();
        // Its program runs, and will start its server again.
        assert_eq!(find_in(runs.path(), &here), None);
        assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 1);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let stale = Left { pid: child.id(), ..read(&left.file).unwrap() };
        fs::write(&left.file, serde_json::to_vec(&stale).unwrap()).unwrap();
        assert_eq!(find_in(runs.path(), &here), None);
        assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 0);
        assert!(leave_in(runs.path(), here, "nats://127.0.0.1:1").unwrap().is_some());
    }

    #[test]
    fn what_answers_at_the_port_of_a_program_that_has_ended_is_another() {
        let runs = tempfile::tempdir().unwrap();
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = PathBuf::from("/here");
        let url = format!("nats://{}", stranger.local_addr().unwrap());
        let left = leave_in(runs.path(), here.clone(), &url).unwrap().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let stale = Left { pid: child.id(), ..read(&left.file).unwrap() };
        fs::write(&left.file, serde_json::to_vec(&stale).unwrap()).unwrap();
        assert_eq!(find_in(runs.path(), &here), None);
        assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_ignored() {
        let runs = tempfile::tempdir().unwrap();
        fs::write(file_of(runs.path(), Path::new("/here")), "{}").unwrap();
        assert_eq!(find_in(runs.path(), Path::new("/here")), None);
    }
}
