//! A process in a group of its own, which dies with the body.

use std::{
    fmt, io,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use model::Limits;
use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{self, Signal},
    },
    unistd::Pid,
};
use tokio::sync::{oneshot, watch};

/// Stack size of the waiting thread in bytes. The thread does next to nothing.
const STACK_BYTES: usize = 128 * 1024;

/// Kind of a process's end: by itself, or by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The process exited with this status.
    Code(i32),
    /// The signal of this number killed the process.
    Signal(i32),
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        status.signal().map_or_else(|| Self::Code(status.code().unwrap_or_default()), Self::Signal)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by {}", signal.as_str()),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// The two outputs of a process.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

/// A running process with everything that it starts. It has a thread of its own, because the kernel
/// kills the process when the *thread* that spawned it ends (`PR_SET_PDEATHSIG`). So that thread
/// stays until the process has ended. Dropping it kills the group.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// Lock that is held while a signal is sent, and while the process is reaped. After that its id
    /// may belong to another process.
    reaped: Arc<Mutex<bool>>,
    /// Kind of its end, as soon as it has ended.
    how: watch::Receiver<Option<Exit>>,
}

impl Process {
    /// Starts the command in a process group of its own, without input, within these limits.
    /// Without a limit of open files, `files_soft` is its soft limit.
    pub(crate) async fn spawn(
        mut command: Command,
        limits: Limits,
        files_soft: Option<u64>,
    ) -> io::Result<(Self, Pipes)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        before_exec(&mut command, limits, files_soft)?;
        let (started, process) = oneshot::channel();
        thread::Builder::new().name("cbs-process".into()).stack_size(STACK_BYTES).spawn(
            move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take())
                else {
                    return;
                };
                let (report, how) = watch::channel(None);
                let reaped = Arc::new(Mutex::new(false));
                let pid = Pid::from_raw(child.id().cast_signed());
                let process = Self { pid, reaped: reaped.clone(), how };
                // If nobody waits for the process any more, this drops it, which kills it.
                drop(started.send(Ok((process, Pipes { stdout, stderr }))));
                report.send_replace(Some(reap(child, pid, &reaped)));
            },
        )?;
        process.await.map_err(io::Error::other)?
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Sends a signal to the process and all others in its group. Does nothing after the process
    /// has been reaped.
    pub(crate) fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // The process may have ended just now, which is fine.
            let _ = signal::killpg(self.pid, signal);
        }
    }

    /// Waits until the process has ended and been reaped, and returns how. Cancel-safe.
    pub(crate) async fn ended(&self) -> Exit {
        let mut how = self.how.clone();
        // The thread reports the end before it ends itself. Without the thread no process is left
        // that could run.
        how.wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|how| *how)
            .unwrap_or(Exit::Signal(Signal::SIGKILL as i32))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Waits for the process's end, kills the rest of its group, and returns how it ended.
fn reap(mut child: Child, group: Pid, reaped: &Mutex<bool>) -> Exit {
    #[cfg(target_os = "linux")]
    await_end(group);
    // Other systems cannot wait without reaping: a signal sent right at the end may go to the wrong
    // process.
    #[cfg(not(target_os = "linux"))]
    let how = child.wait();
    let mut reaped = reaped.lock().unwrap_or_else(PoisonError::into_inner);
    // The process is not reaped yet, so it still holds the group's number: no other group has it.
    let _ = signal::killpg(group, Signal::SIGKILL);
    #[cfg(target_os = "linux")]
    let how = child.wait();
    *reaped = true;
    how.map_or(Exit::Signal(Signal::SIGKILL as i32), Exit::from)
}

/// Waits without reaping, so that the lock is held for the reaping alone.
#[cfg(target_os = "linux")]
fn await_end(pid: Pid) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
        == Err(nix::errno::Errno::EINTR)
    {}
}

/// Sets up the steps of the new process before it becomes its program.
fn before_exec(command: &mut Command, limits: Limits, files_soft: Option<u64>) -> io::Result<()> {
    let (_, files_hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let files = limits
        .files
        .map(|limit| (limit, limit))
        .or(files_soft.map(|soft| (soft.min(files_hard), files_hard)));
    let memory = limits.memory.map(|limit| (limit, limit));
    #[cfg(target_os = "linux")]
    let parent = Pid::this();
    let prepare = move || {
        #[cfg(target_os = "linux")]
        {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the line above. Then nobody will ever send the
            // signal.
            if Pid::parent() != parent {
                return Err(nix::errno::Errno::ESRCH.into());
            }
        }
        for (resource, limits) in [(MEMORY, memory), (Resource::RLIMIT_NOFILE, files)] {
            if let Some((soft, hard)) = limits {
                setrlimit(resource, soft, hard)?;
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only calls that are safe in a signal handler: prctl, getppid,
    // setrlimit.
    unsafe { command.pre_exec(prepare) };
    Ok(())
}

/// The resource that `limits.memory` bounds: private memory that can be written to (heap, anonymous
/// maps, the stacks of threads), counted as it is mapped. It is not the address space
/// (`RLIMIT_AS`): Dart, Go and Java map gigabytes of it that they never touch, and would not start.
/// It is not the resident memory: Linux has ignored `RLIMIT_RSS` since 2.4.30.
pub(crate) const MEMORY: Resource = Resource::RLIMIT_DATA;

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
