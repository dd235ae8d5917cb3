//! A program that runs.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use testkit::{eventually, within};
use tokio::process::{Child, Command};

use crate::LIMIT;

/// A program that runs. Its outputs go to files, so that a program never waits for its reader, and its last
/// words outlive it. Dropping it kills it; where the story fails, its outputs are shown.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: i32,
    /// The program and its arguments.
    what: String,
    out: PathBuf,
    err: PathBuf,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// The exit status; -1 where a signal ended it.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Done {
    /// The same, having checked the exit status.
    ///
    /// # Panics
    /// When it is another one.
    #[track_caller]
    #[must_use = "what it said may be checked as well"]
    pub fn with_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Process {
    /// Starts a command; `base` is the path of its outputs without an ending.
    pub(crate) fn start(mut command: Command, base: &Path) -> Self {
        let (out, err) = (base.with_extension("out"), base.with_extension("err"));
        command.stdout(File::create(&out).expect("a file")).stderr(File::create(&err).expect("a file"));
        command.kill_on_drop(true);
        die_with_the_test(&mut command);
        let what = format!("{:?}", command.as_std());
        let child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let pid = child.id().expect("a process that nobody has waited for").cast_signed();
        Self { child, pid, what, out, err }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What it has written to standard output.
    #[must_use]
    pub fn printed(&self) -> String {
        read(&self.out)
    }

    /// What it has written to standard error: the log, and what people are told.
    #[must_use]
    pub fn told(&self) -> String {
        read(&self.err)
    }

    /// Waits until these words stand on standard output.
    ///
    /// # Panics
    /// When they do not, or the program ends without them.
    pub async fn until_printed(&mut self, words: &str) -> String {
        self.until(words, LIMIT, Self::printed).await
    }

    /// The same, for what takes long, such as a compiler.
    ///
    /// # Panics
    /// As [`Self::until_printed`].
    pub async fn until_printed_within(&mut self, limit: Duration, words: &str) -> String {
        self.until(words, limit, Self::printed).await
    }

    /// Waits until these words stand on standard error.
    ///
    /// # Panics
    /// When they do not, or the program ends without them.
    pub async fn until_told(&mut self, words: &str) -> String {
        self.until(words, LIMIT, Self::told).await
    }

    async fn until(&mut self, words: &str, limit: Duration, text: fn(&Self) -> String) -> String {
        let what = format!("`{words}` from {}", self.what);
        eventually(&what, limit, async || {
            let ended = self.child.try_wait().expect("our child");
            let found = text(self).contains(words);
            assert!(found || ended.is_none(), "{what}: it ended without ({ended:?})");
            found
        })
        .await;
        text(self)
    }

    /// The most memory that it has held so far, in bytes; 0 where it has ended, or there is no /proc.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix(" kB"));
        peak.and_then(|kibibytes| kibibytes.trim().parse::<u64>().ok()).unwrap_or_default() * 1024
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process has ended and has been waited for.
    pub fn signal(&self, signal: Signal) {
        // Nobody has waited for it yet where tokio still knows its id: then the id is no other's.
        assert_eq!(self.child.id().map(u32::cast_signed), Some(self.pid), "{} has ended", self.what);
        signal::kill(Pid::from_raw(self.pid), signal).expect("a signal for our child");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within [`LIMIT`].
    pub async fn ended(&mut self) -> Done {
        self.ended_within(LIMIT).await
    }

    /// The same, for what takes long.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn ended_within(&mut self, limit: Duration) -> Done {
        let status = within(limit, &format!("the end of {}", self.what), self.child.wait()).await;
        let status = status.expect("our child").code().unwrap_or(-1);
        Done { status, stdout: self.printed(), stderr: self.told() }
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(&mut self) -> Done {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// `kill -9`, and waits for the end.
    pub async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\nstdout:\n{}\nstderr:\n{}", self.what, self.printed(), self.told());
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).expect("an output's file")).into_owned()
}

/// The child processes of a process.
///
/// # Panics
/// Where there is no /proc.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| stat(*id).is_some_and(|(_, parent)| parent == pid)).collect()
}

/// Whether a process runs; one that only waits to be reaped does not.
#[must_use]
pub fn lives(pid: i32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// A process's state and parent (proc_pid_stat(5)).
fn stat(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// A test that is killed drops nothing: the kernel kills what it has started. It does so when the spawning
/// *thread* ends, which is the test's own.
fn die_with_the_test(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let arm = || Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?);
        // SAFETY: between fork and exec only what is safe in a signal handler: prctl.
        unsafe { command.pre_exec(arm) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}
