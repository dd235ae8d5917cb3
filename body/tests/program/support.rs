//! The program under test, with folders of its own.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};

/// Time longer than any wait of these tests, even on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A working folder and a user's run-time folder that no other test shares.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

/// Result of a run of the program.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Checks the exit status, and returns the same result.
    #[track_caller]
    pub(crate) fn with_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Returns the last line of standard output.
    pub(crate) fn last_line(&self) -> &str {
        self.stdout.lines().next_back().unwrap_or_default()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("run")).unwrap();
        std::fs::create_dir_all(folder.path().join("here")).unwrap();
        Self { folder }
    }

    /// Returns the working folder.
    pub(crate) fn here(&self) -> PathBuf {
        self.folder.path().join("here")
    }

    /// Returns the number of server addresses that are left in the user's run-time folder.
    pub(crate) fn runs(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("run/cbs")).map_or(0, Iterator::count)
    }

    /// Writes a file into the working folder.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.here().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.here().join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Returns the program, not yet started. No server is named, and its standard input is empty.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cbs"));
        command
            .args(arguments)
            .current_dir(self.here())
            .env("XDG_RUNTIME_DIR", self.folder.path().join("run"));
        for (name, _) in std::env::vars() {
            let kept = ["CBS_DART", "CBS_NATS_SERVER", "CBS_TOOLS"].contains(&name.as_str());
            if name.starts_with("NATS_") || (name.starts_with("CBS_") && !kept) {
                command.env_remove(name);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments)).await
    }

    /// Runs the program to its end with a text on its standard input.
    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output =
            testkit::within(LIMIT, "the end of cbs", child.wait_with_output()).await.unwrap();
        done(output)
    }

    /// Starts the program with open input and output.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.start_command(self.command(arguments))
    }

    /// Starts a command of [`Self::command`] in the same manner.
    pub(crate) fn start_command(&self, mut command: Command) -> Running {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        Running {
            stdout: BufReader::new(child.stdout.take().unwrap()).lines(),
            stderr: BufReader::new(child.stderr.take().unwrap()).lines(),
            stdin: child.stdin.take(),
            child,
        }
    }
}

/// Runs a command to its end.
pub(crate) async fn finish(mut command: Command) -> Done {
    done(testkit::within(LIMIT, "the end of cbs", command.output()).await.unwrap())
}

fn done(output: std::process::Output) -> Done {
    Done {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The program, running.
pub(crate) struct Running {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    /// Open, so that the program receives no end of input.
    #[allow(dead_code, reason = "held, not used")]
    stdin: Option<ChildStdin>,
}

impl Running {
    /// Reads standard output up to a line with these words, and returns all that was read.
    pub(crate) async fn until(&mut self, words: &str) -> String {
        self.until_line(words, |line| line.contains(words)).await
    }

    /// Reads standard output up to exactly this line, and returns all that was read.
    pub(crate) async fn until_exactly(&mut self, wanted: &str) -> String {
        self.until_line(wanted, |line| line == wanted).await
    }

    async fn until_line(&mut self, words: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut seen = String::new();
        let reading = async {
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                seen.push_str(&line);
                seen.push('\n');
                if is_it(&line) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(LIMIT, reading).await == Ok(true);
        if !found {
            let _ = self.child.start_kill();
            let mut reported = String::new();
            while let Ok(Some(line)) = self.stderr.next_line().await {
                reported.push_str(&line);
                reported.push('\n');
            }
            panic!("no `{words}` in:\n{seen}\nstderr:\n{reported}");
        }
        seen
    }

    /// Reads standard error up to a line with these words.
    pub(crate) async fn until_told(&mut self, words: &str) -> String {
        let mut seen = String::new();
        let reading = async {
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                seen.push_str(&line);
                seen.push('\n');
                if line.contains(words) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(LIMIT, reading).await == Ok(true);
        assert!(found, "no `{words}` in:\n{seen}");
        seen
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().cast_signed())
    }

    /// Waits for its end. Both streams are read meanwhile, as a terminal does.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String, String) {
        let mut stdout = self.stdout.into_inner();
        let mut stderr = self.stderr.into_inner();
        let mut out = String::new();
        let mut err = String::new();
        let all = async {
            let (status, ..) = tokio::join!(
                self.child.wait(),
                stdout.read_to_string(&mut out),
                stderr.read_to_string(&mut err)
            );
            status.unwrap()
        };
        let status = testkit::within(LIMIT, "the end of cbs", all).await;
        (status, out, err)
    }
}

/// True if a server that these tests did not start listens at the usual port of this machine.
pub(crate) async fn usual_server() -> bool {
    tokio::net::TcpStream::connect("127.0.0.1:4222").await.is_ok()
}

/// Returns the path of the specs of the greeting.
pub(crate) fn greeting_specs() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../specs")
        .canonicalize()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}
