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

/// A program that runs. Its outputs go to files, so that the program never waits for a reader, and
/// the outputs remain after its end. Drop kills it; if the story fails, its outputs are shown.
///
/// The output of a running program may come late, so a story can only wait for it. After the
/// program's end ([`Done`]) a story can read the outputs, and check that a text is not in them.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: i32,
    /// The program and its arguments.
    what: String,
    out: PathBuf,
    err: PathBuf,
}

/// One of a program's two outputs.
#[derive(Clone, Copy)]
enum Output {
    Stdout,
    Stderr,
}

/// Exit status and outputs of a program that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// The exit status; -1 if a signal ended the program.
    pub status: i32,
    /// Text that the program wrote to standard output.
    pub stdout: String,
    /// Text that the program wrote to standard error.
    pub stderr: String,
}

impl Done {
    /// Checks the exit status and returns `self`.
    ///
    /// # Panics
    /// When the program ended with another status.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "the check may be all that a story needs")]
    pub fn with_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Process {
    /// Starts a command; `base` is the path of its outputs without the extension.
    pub(crate) fn start(mut command: Command, base: &Path) -> Self {
        let out = base.with_extension("out");
        let err = base.with_extension("err");
        command
            .stdout(File::create(&out).expect("a file"))
            .stderr(File::create(&err).expect("a file"));
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

    /// Waits until standard output contains these words; returns all of the output.
    ///
    /// # Panics
    /// When they do not come in time, or the program ends without them.
    pub async fn until_printed(&mut self, words: &str) -> String {
        self.until_printed_within(LIMIT, words).await
    }

    /// Does the same with a limit, for slow work such as a compiler.
    ///
    /// # Panics
    /// As [`Self::until_printed`].
    pub async fn until_printed_within(&mut self, limit: Duration, words: &str) -> String {
        self.until(words, limit, Output::Stdout, |text| text.contains(words)).await
    }

    /// Waits until `wanted` accepts standard output.
    ///
    /// # Panics
    /// As [`Self::until_printed`].
    pub async fn until_printed_is(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.until(what, LIMIT, Output::Stdout, wanted).await
    }

    /// Waits until standard error (the log, and messages to the user) contains these words; returns
    /// all of it.
    ///
    /// # Panics
    /// As [`Self::until_printed`].
    pub async fn until_told(&mut self, words: &str) -> String {
        self.until_told_is(words, |text| text.contains(words)).await
    }

    /// Waits until `wanted` accepts standard error.
    ///
    /// # Panics
    /// As [`Self::until_printed`].
    pub async fn until_told_is(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.until(what, LIMIT, Output::Stderr, wanted).await
    }

    async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        output: Output,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        let what = format!("`{what}` from {}", self.what);
        let mut found = String::new();
        eventually(&what, limit, async || {
            let ended = self.child.try_wait().expect("our child");
            let mut text = self.read(output);
            // The last line may be incomplete.
            text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
            let is_there = wanted(&text);
            assert!(is_there || ended.is_none(), "{what}: it ended without ({ended:?})");
            found = text;
            is_there
        })
        .await;
        found
    }

    fn read(&self, output: Output) -> String {
        let path = match output {
            Output::Stdout => &self.out,
            Output::Stderr => &self.err,
        };
        String::from_utf8_lossy(&std::fs::read(path).expect("an output's file")).into_owned()
    }

    /// The most memory that the process has used so far, in bytes; 0 if it has ended, or without
    /// /proc.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix(" kB"));
        peak.and_then(|kibibytes| kibibytes.trim().parse::<u64>().ok()).unwrap_or_default() * 1024
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process has ended and was reaped.
    pub fn signal(&self, signal: Signal) {
        // While tokio still knows its id, the process is not reaped, so no other process has this
        // id.
        assert_eq!(
            self.child.id().map(u32::cast_signed),
            Some(self.pid),
            "{} has ended",
            self.what
        );
        signal::kill(Pid::from_raw(self.pid), signal).expect("a signal for our child");
    }

    /// Waits for the end of the program.
    ///
    /// # Panics
    /// When the program does not end within [`LIMIT`].
    pub async fn ended(&mut self) -> Done {
        self.ended_within(LIMIT).await
    }

    /// Does the same with a limit, for slow work.
    ///
    /// # Panics
    /// When the program does not end in time.
    pub async fn ended_within(&mut self, limit: Duration) -> Done {
        let status = within(limit, &format!("the end of {}", self.what), self.child.wait()).await;
        let status = status.expect("our child").code().unwrap_or(-1);
        Done { status, stdout: self.read(Output::Stdout), stderr: self.read(Output::Stderr) }
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(&mut self) -> Done {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// Sends SIGKILL and waits for the end.
    pub async fn kill(&mut self) -> Done {
        self.signal(Signal::SIGKILL);
        self.ended().await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let [out, err] = [Output::Stdout, Output::Stderr].map(|output| self.read(output));
            eprintln!("{}\nstdout:\n{out}\nstderr:\n{err}", self.what);
        }
    }
}

/// The child processes of a process.
///
/// # Panics
/// On a system without /proc.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| stat(*id).is_some_and(|(_, parent)| parent == pid)).collect()
}

/// True if a process runs; a process that only waits to be reaped does not.
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

/// Lets the kernel kill the process when the test ends: a test that is killed drops nothing. The
/// kernel does so when the thread that started the process ends, which is the test's own.
fn die_with_the_test(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let arm = || Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?);
        // SAFETY: between fork and exec it calls only prctl, which is safe in a signal handler.
        unsafe { command.pre_exec(arm) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}
