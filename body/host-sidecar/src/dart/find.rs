//! The Dart of this machine.

use std::{
    ffi::OsString,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use super::{Error, sdk};

/// Limit of the time for an answer. The first run of a Dart from a package may unpack files.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// Limit of the answer to `--version` in bytes. It is one line; a program that writes more is no
/// Dart.
const ANSWER_BYTES_MAX: usize = 4096;

/// A Dart that has been run successfully.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dart {
    /// The program `dart`, an absolute path.
    pub path: PathBuf,
    /// Version that it reports, such as `3.13.4`.
    pub version: String,
}

impl Dart {
    /// Returns the Dart with this path, after running it once.
    ///
    /// # Errors
    /// The reason why it is no usable Dart, without its path: `it is no program`.
    pub fn at(path: &Path) -> Result<Self, String> {
        if !is_program(path) {
            return Err("it is no program".to_owned());
        }
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        let said = ask(&path)?;
        let version = said
            .split_once("Dart SDK version: ")
            .and_then(|(_, rest)| rest.split_whitespace().next());
        let version = version.ok_or("its output has no Dart version")?.to_owned();
        let needed = sdk::version_min();
        if language(&version) < needed {
            return Err(format!(
                "it is Dart {version}, {}.{} or newer is needed",
                needed.0, needed.1
            ));
        }
        Ok(Self { path, version })
    }
}

/// Finds Dart: `CBS_DART`, then the first `dart` on PATH that works, then the one that
/// `deploy/setup.sh` brings into the per-user tools cache. The program is run once to check it, and
/// the result is kept until this process ends.
///
/// # Errors
/// The error says what to install. A `CBS_DART` that is wrong is an error; the search does not go
/// on.
pub fn find() -> Result<Dart, Error> {
    static FOUND: OnceLock<Dart> = OnceLock::new();
    // A missing Dart is looked for again: the user may be installing it.
    match FOUND.get() {
        Some(dart) => Ok(dart.clone()),
        None => {
            find_with(|name| std::env::var_os(name)).map(|dart| FOUND.get_or_init(|| dart).clone())
        }
    }
}

pub(super) fn find_with(environment: impl Fn(&str) -> Option<OsString>) -> Result<Dart, Error> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    if let Some(path) = variable("CBS_DART").map(PathBuf::from) {
        return Dart::at(&path).map_err(|reason| Error::Named { path, reason });
    }
    let path = variable("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
    let places = on_path
        .map(|folder| folder.join("dart"))
        .chain(tools(&environment).map(|tools| tools.join("dart/bin/dart")));
    let mut seen = Vec::new();
    for place in places.filter(|place| is_program(place)) {
        match Dart::at(&place) {
            Ok(dart) => return Ok(dart),
            Err(reason) => seen.push(format!("{}: {reason}", place.display())),
        }
    }
    Err(Error::Nowhere { seen })
}

/// Returns the per-user tools cache: `$CBS_TOOLS`, else `cbs/tools` in the user's cache folder.
pub(super) fn tools(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // As in the shell's `${NAME:-…}`, an empty variable counts as not set.
    let variable =
        |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    variable("CBS_TOOLS").or_else(|| Some(cache()?.join("cbs/tools")))
}

/// Returns major and minor of a version, as package configurations write a language version; (0, 0)
/// if it is none.
pub(super) fn language(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Returns a file without a name. A pipe would not do, because processes that a program leaves
/// behind may hold it open. On Linux the file is in memory, because a folder of temporary files may
/// be full.
fn scratch() -> std::io::Result<std::fs::File> {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        Ok(memfd_create(c"cbs-answer", MFdFlags::MFD_CLOEXEC)?.into())
    }
    #[cfg(not(target_os = "linux"))]
    tempfile::tempfile()
}

/// Returns the program's answer to `--version`.
fn ask(path: &Path) -> Result<String, String> {
    let answer = scratch().map_err(|error| format!("no file for its output: {error}"))?;
    let stdout = answer.try_clone().map_err(|error| error.to_string())?;
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("it does not start: {error}"))?;
    let until = Instant::now() + ANSWER_TIME_MAX;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
            other => {
                let reason = other
                    .err()
                    .map_or_else(|| "it does not answer".to_owned(), |error| error.to_string());
                _ = child.kill();
                _ = child.wait();
                return Err(reason);
            }
        }
    };
    if !status.success() {
        return Err(format!("it ends with {status}"));
    }
    let mut said = vec![0; ANSWER_BYTES_MAX];
    let count = answer.read_at(&mut said, 0).map_err(|error| error.to_string())?;
    said.truncate(count);
    Ok(String::from_utf8_lossy(&said).into_owned())
}
