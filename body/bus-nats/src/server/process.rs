//! A child process that dies with its parent.

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

/// The waiting thread does next to nothing.
const STACK_BYTES: usize = 128 * 1024;

/// A child process, held by a thread of its own: the kernel kills the child when the *thread* that
/// spawned it ends (`PR_SET_PDEATHSIG`), so that thread stays until the child has ended.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    /// Held while a signal is sent, and while the child is reaped: past that its id may be another's.
    reaped: Arc<Mutex<bool>>,
    /// How it ended, once it has.
    how: watch::Receiver<Option<String>>,
    /// Closed when it has ended, for those who cannot await.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Process {
    /// Starts the command in a process group of its own: Ctrl-C is for the parent, which ends the child when
    /// it is done with it.
    pub(super) async fn spawn(mut command: Command) -> io::Result<Self> {
        command.process_group(0);
        die_with_parent(&mut command);
        let (started, process) = oneshot::channel();
        thread::Builder::new().name("nats-server".into()).stack_size(STACK_BYTES).spawn(move || {
            let (report, how) = watch::channel(None);
            let (closed, ended) = mpsc::sync_channel(1);
            let reaped = Arc::new(Mutex::new(false));
            let child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let pid = Pid::from_raw(child.id().cast_signed());
            // Where nobody waits for it any more, this drops the process, which kills it.
            drop(started.send(Ok(Self { pid, reaped: reaped.clone(), how, ended: Mutex::new(ended) })));
            report.send_replace(Some(reap(child, &reaped)));
            drop(closed);
        })?;
        process.await.map_err(io::Error::other)?
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Sends a signal; nothing once the process has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // It may have ended just now, which is as good.
            let _ = signal::kill(self.pid, signal);
        }
    }

    /// Waits until the process has ended, and says how.
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

/// Waits for the child's end and says how it ended.
fn reap(mut child: Child, reaped: &Mutex<bool>) -> String {
    #[cfg(target_os = "linux")]
    await_end(&child);
    // Elsewhere there is no waiting without reaping: a signal sent right at the end may go astray.
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
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(nix::errno::Errno::EINTR) {}
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = Pid::this();
    let arm = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above: then nobody will ever send the signal.
        if Pid::parent() == parent { Ok(()) } else { Err(nix::errno::Errno::ESRCH.into()) }
    };
    // SAFETY: between fork and exec only calls that are safe in a signal handler: prctl and getppid.
    unsafe { command.pre_exec(arm) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
