//! Virtual environments: the packages that cells can import besides the standard library and the
//! SDK.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use crate::interpreter::{BUILT, folder_of_version};

/// Package that every environment has.
const MSGSPEC: &str = "msgspec==0.22.0";
/// Limit of the time that one program may take while an environment is made.
const LIMIT: Duration = Duration::from_secs(120);
/// Limit of the time to wait for another process that makes the same environment.
const LOCK_LIMIT: Duration = Duration::from_secs(180);

/// Prefixes of the lines that pip writes around the reason why a package cannot be built.
const FRAME: [&str; 5] = ["note: ", "hint: ", "× ", "╰─>", "[end of output]"];

/// Reason why an environment cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// The folder cannot be written, or a program cannot be started.
    #[error("{what}: {error}")]
    Io {
        /// The action that failed.
        what: String,
        /// The error message of the system.
        error: String,
    },
    /// A program that makes the environment failed or took too long.
    #[error("`{command}` {how}: {said}")]
    Failed {
        /// The command that was started.
        command: String,
        /// The way in which the command ended.
        how: String,
        /// The last lines of its output.
        said: String,
    },
}

pub(crate) fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> EnvironmentError {
    let what = what.into();
    move |error| EnvironmentError::Io { what, error: error.to_string() }
}

/// Returns the folder for tools of this user: `$CBS_TOOLS`, else `tools/` in the user's cache
/// folder.
pub(crate) fn tools() -> PathBuf {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("CBS_TOOLS").unwrap_or_else(|| {
        let cache =
            named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")));
        cache.unwrap_or_else(env::temp_dir).join("cbs/tools")
    })
}

/// Returns the first twelve hexadecimal digits of a text's SHA-256.
pub(crate) fn short_hash(text: &[u8]) -> String {
    Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the folder of all environments of the build's interpreter.
pub(crate) fn folder() -> PathBuf {
    tools().join("python").join(format!(
        "{}-{}",
        BUILT.version,
        short_hash(BUILT.prefix.as_bytes())
    ))
}

/// Returns the folder of an environment's packages.
pub(crate) fn site_packages(environment: &Path) -> PathBuf {
    environment.join("lib").join(folder_of_version()).join("site-packages")
}

/// Packages that are installed besides the one that every environment has.
#[derive(Default)]
pub(crate) struct Packages<'a> {
    /// Requirements files by name. The first one names the others.
    pub(crate) lists: Vec<(String, &'a str)>,
    /// True if the lists have a hash of every package: then pip installs nothing without a hash.
    pub(crate) is_hashed: bool,
    /// Folder that the relative paths in the lists start from.
    pub(crate) from: Option<&'a Path>,
}

/// Returns the path of the environment that all cells in bodies share.
pub(crate) fn shared_place() -> PathBuf {
    folder().join("shared")
}

/// Returns the site-packages of the environment that all cells in bodies share, and makes it if it
/// is not there. `None` if it cannot be made: this is logged once, and the SDK works without it.
pub(crate) fn shared() -> Option<&'static Path> {
    static SHARED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let make = || match ensure(&shared_place(), &Packages::default()) {
        Ok(site) => Some(site),
        Err(error) => {
            tracing::warn!(
                "Python cells run without msgspec, ten times slower at reading and writing JSON: {error}; fix it with \
                 access to a package index, or with a folder that has it in CBS_TOOLS"
            );
            None
        }
    };
    SHARED.get_or_init(make).as_deref()
}

/// Makes the environment at this path with these packages if it is not there, and returns its
/// site-packages. Blocks for seconds while the environment is made.
pub(crate) fn ensure(place: &Path, packages: &Packages<'_>) -> Result<PathBuf, EnvironmentError> {
    let site = site_packages(place);
    if site.is_dir() {
        return Ok(site);
    }
    let parent = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)
        .map_err(io_error(format!("cannot make the folder {}", parent.display())))?;
    let _lock = Lock::take(&place.with_extension("lock"))?;
    if site.is_dir() {
        return Ok(site);
    }
    tracing::info!("making the Python environment {}", place.display());
    let began = Instant::now();
    let making = tempfile::Builder::new()
        .prefix(".making-")
        .tempdir_in(parent)
        .map_err(io_error(format!("cannot make a folder in {}", parent.display())))?;
    let target = making.path().join("environment");
    install(&target, packages)?;
    fs::rename(&target, place)
        .map_err(io_error(format!("cannot put the environment to {}", place.display())))?;
    tracing::info!("made the Python environment in {} ms", began.elapsed().as_millis());
    Ok(site)
}

/// Makes an environment and installs the packages. Uses the interpreter's own pip if it has one,
/// because copying pip into the environment takes longer than all the other steps.
fn install(target: &Path, packages: &Packages<'_>) -> Result<(), EnvironmentError> {
    let python = || {
        let mut python = Command::new(BUILT.executable);
        python.arg("-I");
        python
    };
    let has_pip =
        run(python().args(["-c", "import pip; assert int(pip.__version__.split('.')[0]) >= 23"]))
            .is_ok();
    let how: &[&str] = if has_pip { &["-m", "venv", "--without-pip"] } else { &["-m", "venv"] };
    run(python().args(how).arg(target))?;
    let own = target.join("bin/python");
    let pip = || {
        let mut pip = if has_pip { python() } else { Command::new(&own) };
        pip.args(["-m", "pip"]);
        if has_pip {
            pip.arg("--python").arg(&own);
        }
        pip.args([
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-warn-script-location",
        ]);
        pip.args(["--timeout", "10", "--retries", "1"]);
        if let Some(folder) = packages.from {
            pip.current_dir(folder);
        }
        pip
    };
    for (name, text) in &packages.lists {
        let list = target.join(name);
        fs::write(&list, text).map_err(io_error(format!("cannot write {}", list.display())))?;
    }
    let Some((list, _)) = packages.lists.first() else { return run(pip().arg(MSGSPEC)) };
    if packages.is_hashed {
        run(pip().arg(MSGSPEC))?;
        return run(pip().arg("-r").arg(target.join(list)));
    }
    run(pip().arg(MSGSPEC).arg("-r").arg(target.join(list)))
}

/// Runs a program to its end, but not longer than [`LIMIT`].
fn run(command: &mut Command) -> Result<(), EnvironmentError> {
    let shown = shown(command);
    let failed = |how: String, said: &str| EnvironmentError::Failed {
        command: shown.clone(),
        how,
        said: said.to_owned(),
    };
    let output = tempfile::tempfile().map_err(io_error("cannot make a temporary file"))?;
    let second = || output.try_clone().map_err(io_error("cannot use a temporary file twice"));
    let stdout = Stdio::from(second()?);
    let stderr = Stdio::from(second()?);
    let started = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
    let mut child = started.map_err(io_error(format!("cannot start {shown}")))?;
    let until = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait().map_err(io_error(format!("cannot wait for {shown}")))? {
            Some(status) => break Some(status),
            None if Instant::now() >= until => {
                _ = child.kill();
                _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let said = last_lines(output);
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(failed(format!("ended with {status}"), &said)),
        None => Err(failed(format!("took longer than {} s", LIMIT.as_secs()), &said)),
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn last_lines(mut file: fs::File) -> String {
    use io::{Read, Seek};
    let mut text = Vec::new();
    _ = file.rewind().and_then(|()| file.read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !FRAME.iter().any(|begin| line.starts_with(begin)));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(6)..).unwrap_or_default().join("; ")
}

/// Lock file that other processes respect. It is unlocked when it is dropped, and by the system
/// when the process ends.
struct Lock {
    _file: fs::File,
}

impl Lock {
    fn take(path: &Path) -> Result<Self, EnvironmentError> {
        let what = || format!("cannot lock {}", path.display());
        let file =
            fs::File::options().create(true).append(true).open(path).map_err(io_error(what()))?;
        let until = Instant::now() + LOCK_LIMIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(fs::TryLockError::Error(error)) => return Err(io_error(what())(error)),
                Err(fs::TryLockError::WouldBlock) if Instant::now() >= until => {
                    let error = io::Error::new(io::ErrorKind::TimedOut, "another process holds it");
                    return Err(io_error(what())(error));
                }
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}
