//! A child process that ends with its parent.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::sync::{oneshot, watch};

/// Size of the stack of the waiting thread, which does almost nothing.
const STACK_BYTES: usize = 128 * 1024;

/// A child process with its own thread. The kernel kills the child when the *thread* that spawned
/// it ends (`PR_SET_PDEATHSIG`), so that thread stays until the child has ended.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    /// Locked while a signal is sent, and while the child is reaped: afterwards its id may belong
    /// to another process.
    reaped: Arc<Mutex<bool>>,
    /// Exit of the process, once it has ended.
    how: watch::Receiver<Option<String>>,
    /// Closed when it has ended, for callers that cannot await.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Process {
    /// Starts the command in its own process group: Ctrl-C goes only to the parent, which ends the
    /// child when it no longer needs it.
    pub(super) async fn spawn(mut command: Command) -> io::Result<Self> {
        command.process_group(0);
        die_with_parent(&mut command);
        let (started, process) = oneshot::channel();
        thread::Builder::new().name("nats-server".into()).stack_size(STACK_BYTES).spawn(
            move || {
                let (report, how) = watch::channel(None);
                let (closed, ended) = mpsc::sync_channel(1);
                let reaped = Arc::new(Mutex::new(false));
                let child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let pid = Pid::from_raw(child.id().cast_signed());
                // If the caller no longer waits, this drops the process, which kills it.
                drop(started.send(Ok(Self {
                    pid,
                    reaped: reaped.clone(),
                    how,
                    ended: Mutex::new(ended),
                })));
                report.send_replace(Some(reap(child, &reaped)));
                drop(closed);
            },
        )?;
        process.await.map_err(io::Error::other)?
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Sends a signal. Does nothing once the process has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // It may have ended just now, which is just as good.
            let _ = signal::kill(self.pid, signal);
        }
    }

    /// Waits until the process has ended, and returns how it ended.
    pub(super) async fn ended(&self) -> String {
        let mut how = self.how.clone();
        match how.wait_for(Option::is_some).await {
            Ok(how) => how.clone().unwrap_or_default(),
            Err(_) => "ended".to_owned(),
        }
    }

    /// Kills the process and blocks until it has ended, or the limit has passed.
    pub(super) fn kill_now(&self, limit: Duration) {
        self.signal(Signal::SIGKILL);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(limit);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Waits for the child's end and returns how it ended.
fn reap(mut child: Child, reaped: &Mutex<bool>) -> String {
    #[cfg(target_os = "linux")]
    await_end(&child);
    // Other systems cannot wait without reaping: a signal sent right at the end may reach another
    // process.
    #[cfg(not(target_os = "linux"))]
    let how = child.wait();
    let mut reaped = reaped.lock().unwrap_or_else(PoisonError::into_inner);
    #[cfg(target_os = "linux")]
    let how = child.wait();
    *reaped = true;
    how.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Waits without reaping, so that the lock is held for the reaping alone.
#[cfg(target_os = "linux")]
fn await_end(child: &Child) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let pid = Pid::from_raw(child.id().cast_signed());
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
        == Err(nix::errno::Errno::EINTR)
    {}
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = Pid::this();
    let arm = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have ended before the line above: then the signal will never be sent.
        if Pid::parent() == parent { Ok(()) } else { Err(nix::errno::Errno::ESRCH.into()) }
    };
    // SAFETY: between fork and exec only calls that are safe in a signal handler: prctl and
    // getppid.
    unsafe { command.pre_exec(arm) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
