//! A process in a group of its own, with the thread that waits for its end.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::{
    process::{ChildStderr, ChildStdout},
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{Exit, Options, options::before_exec};

/// Stack size of the waiting thread in bytes. The thread does next to nothing.
const STACK_BYTES: usize = 128 * 1024;
/// Limit of the wait for the end of a process that has been killed. After it the process hangs in
/// the kernel, and more waiting would not help: it is left to its thread.
pub const KILL_LIMIT: Duration = Duration::from_secs(2);

/// A running process with everything that it starts in its group. Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    /// Standard output, if the command pipes it. Whoever takes it reads it.
    pub stdout: Option<ChildStdout>,
    /// Standard error, if the command pipes it.
    pub stderr: Option<ChildStderr>,
    group: Group,
    /// Kind of its end, as soon as it has ended.
    exit: watch::Receiver<Option<Exit>>,
}

impl Process {
    /// Starts the command in a process group of its own. Dropping the future kills the process.
    ///
    /// # Errors
    /// The program cannot be run, or the system refuses the thread or a limit.
    pub async fn spawn(mut command: Command, options: Options) -> io::Result<Self> {
        command.process_group(0);
        before_exec(&mut command, options)?;
        let (started, process) = oneshot::channel();
        thread::Builder::new().name("cbs-process".into()).stack_size(STACK_BYTES).spawn(
            move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let (report, exit) = watch::channel(None);
                let group = Group::of(&child);
                let pipes = (child.stdout.take(), child.stderr.take());
                let process = Self { stdout: None, stderr: None, group: group.clone(), exit };
                // If nobody waits for the process any more, this drops it, which kills it.
                drop(started.send(Ok((process, pipes))));
                report.send_replace(Some(group.reap(child)));
            },
        )?;
        let (mut process, (stdout, stderr)) = process.await.map_err(io::Error::other)??;
        process.stdout = stdout.map(ChildStdout::from_std).transpose()?;
        process.stderr = stderr.map(ChildStderr::from_std).transpose()?;
        Ok(process)
    }

    /// The process id, which is the number of its group too.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.group.pid.as_raw().unsigned_abs()
    }

    /// Waits until the process has ended and been reaped, and returns the kind of its end.
    /// Cancel-safe.
    pub async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        // The thread reports the end before it ends itself. Without the thread no process is left
        // that could run.
        exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or(Exit::KILLED)
    }

    /// Sends SIGTERM, and waits for the end. Returns `None` if the process goes on after `grace`.
    pub async fn terminate(&self, grace: Duration) -> Option<Exit> {
        self.group.signal(Signal::SIGTERM);
        timeout(grace, self.ended()).await.ok()
    }

    /// Kills the process, and waits for its end for at most [`KILL_LIMIT`].
    pub async fn kill(&self) {
        self.group.signal(Signal::SIGKILL);
        let _ = timeout(KILL_LIMIT, self.ended()).await;
    }

    /// Kills the process, and blocks the thread until it has ended, for at most [`KILL_LIMIT`].
    pub fn kill_blocking(&self) {
        self.group.signal(Signal::SIGKILL);
        self.group.wait(KILL_LIMIT);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.group.signal(Signal::SIGKILL);
    }
}

/// The group of a process.
#[derive(Clone, Debug)]
struct Group {
    pid: Pid,
    reaped: Arc<Reaped>,
}

/// Set once the process has been reaped. The lock is held while a signal is sent, and while the
/// process is reaped: after that its id may belong to another process.
#[derive(Debug, Default)]
struct Reaped {
    is_reaped: Mutex<bool>,
    changed: Condvar,
}

impl Group {
    fn of(child: &Child) -> Self {
        Self { pid: Pid::from_raw(child.id().cast_signed()), reaped: Arc::default() }
    }

    /// Sends a signal to the process and all others in its group. Does nothing after the process
    /// has been reaped.
    fn signal(&self, signal: Signal) {
        let is_reaped = self.reaped.is_reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_reaped {
            // The process may have ended just now, which is fine.
            let _ = signal::killpg(self.pid, signal);
        }
    }

    /// Blocks until the process has been reaped, or the limit has passed.
    fn wait(&self, limit: Duration) {
        let is_reaped = self.reaped.is_reaped.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.reaped.changed.wait_timeout_while(is_reaped, limit, |is_reaped| !*is_reaped));
    }

    /// Waits for the process's end, kills the rest of its group (on Linux), and returns the kind of
    /// its end.
    fn reap(&self, mut child: Child) -> Exit {
        #[cfg(target_os = "linux")]
        self.await_end();
        // Other systems cannot wait without reaping: a signal sent right at the end may go to the
        // wrong process.
        #[cfg(not(target_os = "linux"))]
        let status = child.wait();
        let mut is_reaped = self.reaped.is_reaped.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(target_os = "linux")]
        let status = {
            // The process is not reaped yet, so it still holds the group's number: no other group
            // has it.
            let _ = signal::killpg(self.pid, Signal::SIGKILL);
            child.wait()
        };
        *is_reaped = true;
        self.reaped.changed.notify_all();
        status.map_or(Exit::KILLED, Exit::from)
    }

    /// Waits without reaping, so that the lock is held for the reaping alone.
    #[cfg(target_os = "linux")]
    fn await_end(&self) {
        use nix::sys::wait::{Id, WaitPidFlag, waitid};
        while waitid(Id::Pid(self.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
            == Err(nix::errno::Errno::EINTR)
        {}
    }
}
