//! A working folder and an environment that no other story shares.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{Done, Process};

/// Working folder and environment of programs. It has its own run-time folder of the user, and of
/// the variables that `cbs` reads only those that name nats-server and Dart.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
    /// The program `cbs`.
    program: PathBuf,
    /// Number of programs that were started; it is part of the names of their output files.
    started: AtomicUsize,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Makes an empty working folder.
    ///
    /// # Panics
    /// When there is no program `cbs`; the message says what to do.
    #[must_use]
    pub fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("cbs-story-").tempdir().expect("a temporary folder");
        for part in ["here", "run", "out"] {
            std::fs::create_dir(folder.path().join(part)).expect("a folder in a temporary folder");
        }
        Self { folder, program: cbs(), started: AtomicUsize::default() }
    }

    /// The working folder.
    #[must_use]
    pub fn here(&self) -> PathBuf {
        self.folder.path().join("here")
    }

    /// Writes a file into the working folder, and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.here().join(path);
        std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Returns the command `cbs` with these arguments, not yet started.
    pub fn cbs(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.program);
        command.args(arguments);
        command
    }

    /// Returns the command of any program, not yet started; its standard input is empty.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.here()).env("XDG_RUNTIME_DIR", self.folder.path().join("run"));
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            let kept = ["CBS_DART", "CBS_NATS_SERVER", "CBS_TOOLS"].contains(&&*text);
            let ours = text.starts_with("CBS_") && !kept;
            if ours || text.starts_with("NATS_") {
                command.env_remove(&name);
            }
        }
        command.stdin(Stdio::null());
        command
    }

    /// Starts a command.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, command: Command) -> Process {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Process::start(command, &self.folder.path().join("out").join(number.to_string()))
    }

    /// Runs a command to its end.
    pub async fn finish(&self, command: Command) -> Done {
        self.start(command).ended().await
    }

    /// Runs `cbs` to its end.
    pub async fn run(&self, arguments: &[&str]) -> Done {
        self.finish(self.cbs(arguments)).await
    }
}

/// Folder of the greeting's specs in this repository.
#[must_use]
pub fn greeting_specs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs")
}

/// True if a foreign server listens on the default NATS port, as on a machine with a NATS service.
#[must_use]
pub fn somebody_at_the_usual_port() -> bool {
    std::net::TcpStream::connect("127.0.0.1:4222").is_ok()
}

/// Path of the program under test: `CBS_BIN`, else the one that was built beside this test.
fn cbs() -> PathBuf {
    let named = env::var_os("CBS_BIN").filter(|path| !path.is_empty()).map(PathBuf::from);
    let beside = || Some(env::current_exe().ok()?.parent()?.parent()?.join("cbs"));
    let program = named.or_else(beside).unwrap_or_default();
    assert!(
        program.is_file(),
        "no program cbs at {}: run `make test`, or set CBS_BIN",
        program.display()
    );
    program
}
