//! One run of one process: start, handshake, service, end.

use std::{
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use process::{Exit, Options, Process};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    connection::Connection,
    handshake::{Refused, greet},
    output::{LastLines, Output, Stream},
    plan::Plan,
    process_pool::ProcessPool,
    socket::Socket,
    worker_status::WorkerStatus,
};

/// Limit of the time to wait for the exit of a process that closed its socket, to learn how it
/// ends.
pub(crate) const EXIT_PATIENCE: Duration = Duration::from_secs(2);
/// Limit of the time to read the output of a process that has ended. Processes that it started may
/// hold its pipes open.
pub(crate) const OUTPUT_PATIENCE: Duration = Duration::from_millis(200);

/// One of a cell's processes.
pub(crate) struct Instance {
    pub(crate) plan: Arc<Plan>,
    pub(crate) pool: Arc<ProcessPool>,
    pub(crate) row: Arc<WorkerStatus>,
    /// Ends this process alone.
    pub(crate) stop: CancellationToken,
    /// Ends all processes of the cell.
    pub(crate) stop_all: CancellationToken,
    pub(crate) number: u32,
    /// Set if the process is to take over from one that serves. Then it is started only once.
    pub(crate) replacement: bool,
}

/// Kind of end of a run.
pub(crate) enum Ended {
    /// The process was to end: the cell is stopped, or there was one process too many.
    Orderly,
    /// The process ended by itself, or had to be ended. `ready_for` is the time that it was ready.
    Fell { reason: String, ready_for: Duration },
}

/// Stage that a process had reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessStage {
    Hello,
    Ready,
    Serving,
}

/// Reason why a process is not served any longer.
pub(crate) enum ExitReason {
    Orderly,
    /// The process has ended, or closed its socket. Its exit status gives the reason.
    CallError(ProcessStage),
    /// The process did something wrong, as described here. The body waits for its end.
    Fault(String),
    /// The process does not respond. The body does not wait for its end.
    Stuck(String),
}

impl Instance {
    /// Runs from the start of the process to its end. Calls `ready` when the process takes calls.
    pub(crate) async fn live(&self, ready: impl FnOnce()) -> Ended {
        let (mut process, socket) = match self.spawn().await {
            Ok(spawned) => spawned,
            Err(reason) => return Ended::Fell { reason, ready_for: Duration::ZERO },
        };
        self.row.started(process.pid());
        let last = LastLines::default();
        let enough = CancellationToken::new();
        let mut outputs = self.read(&mut process, &last, &enough);
        let mut since = None;
        let broke = self
            .serve(&process, socket, || {
                since = Some(Instant::now());
                ready();
            })
            .await;
        let exit = self.shut_down(&process, &broke).await;
        // Both outputs are read to their end, unless a process that was left behind holds them
        // open. So the log has all that the process wrote, however busy the machine is.
        let mut all_read = async || {
            timeout(OUTPUT_PATIENCE, async { while outputs.join_next().await.is_some() {} }).await
        };
        if all_read().await.is_err() {
            enough.cancel();
            let _ = all_read().await;
        }
        let Some(reason) = self.reason(broke, exit) else { return Ended::Orderly };
        let cell = self.plan.env.target.name();
        tracing::error!(
            target: "cbs::cell", %cell, pid = process.pid(), stderr = last.text(), "a process of the cell ended: {reason}"
        );
        Ended::Fell { reason, ready_for: since.map_or(Duration::ZERO, |since| since.elapsed()) }
    }

    async fn spawn(&self) -> Result<(Process, Socket), String> {
        let socket = Socket::open().map_err(|error| error.to_string())?;
        let mut command = self.plan.launch.command(socket.path())?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let limits = self.plan.launch.limits;
        let options = Options {
            memory: limits.memory,
            files: limits.files,
            files_soft: self.plan.settings.files_soft,
            niceness: None,
        };
        let process = Process::spawn(command, options)
            .await
            .map_err(|error| format!("cannot be run: {error}"))?;
        Ok((process, socket))
    }

    fn read(
        &self,
        process: &mut Process,
        last: &LastLines,
        enough: &CancellationToken,
    ) -> JoinSet<()> {
        let mut outputs = JoinSet::new();
        let settings = &self.plan.settings;
        let pid = process.pid();
        let output = |stream, last| Output {
            stream,
            cell: self.plan.env.target.name().into(),
            pid,
            lines_per_second: settings.lines_per_second,
            lines_burst: settings.lines_burst,
            last,
        };
        let stdout = output(Stream::Stdout, LastLines::default());
        let stderr = output(Stream::Stderr, last.clone());
        if let Some(pipe) = process.stdout.take() {
            outputs.spawn(stdout.read(pipe, enough.clone()));
        }
        if let Some(pipe) = process.stderr.take() {
            outputs.spawn(stderr.read(pipe, enough.clone()));
        }
        outputs
    }

    /// Serves from the start of the process to the end of its connection.
    async fn serve(&self, process: &Process, socket: Socket, ready: impl FnOnce()) -> ExitReason {
        let times = &self.plan.settings.times;
        let greeted = tokio::select! {
            biased;
            () = self.stop.cancelled() => return ExitReason::Orderly,
            greeted = timeout(times.hello, greet(socket, self.plan.welcome(self.number))) => greeted,
            _ = process.ended() => return ExitReason::CallError(ProcessStage::Hello),
        };
        let (frames, hello) = match greeted {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(Refused::Closed)) => return ExitReason::CallError(ProcessStage::Hello),
            Ok(Err(refused)) => return ExitReason::Fault(refused.to_string()),
            Err(_) => {
                let limit = times.hello.as_secs_f64();
                return ExitReason::Stuck(format!(
                    "did not say hello within {limit} s: {HELLO_HINT}"
                ));
            }
        };
        tracing::debug!(
            target: "cbs::cell", cell = %self.plan.env.target.name(), pid = process.pid(), sdk = hello.sdk,
            language = hello.language, "a process of the cell said hello"
        );
        Connection::open(self, process, frames, &hello).run(ready).await
    }

    /// Waits for the process's end, within a limit that depends on `broke`, and then kills it.
    /// Returns how it ended by itself, if it did.
    async fn shut_down(&self, process: &Process, broke: &ExitReason) -> Option<Exit> {
        let times = &self.plan.settings.times;
        match broke {
            ExitReason::CallError(_) | ExitReason::Fault(_) => {
                if let Ok(exit) = timeout(EXIT_PATIENCE, process.ended()).await {
                    return Some(exit);
                }
            }
            // The process had its time to drain. The signal is for a process that did not use it.
            ExitReason::Orderly => {
                let exit = process.terminate(times.term).await;
                if exit.is_some() {
                    return exit;
                }
                tracing::warn!(
                    target: "cbs::cell", cell = %self.plan.env.target.name(), pid = process.pid(),
                    "a process of the cell did not stop in time and is killed"
                );
            }
            ExitReason::Stuck(_) => {}
        }
        process.kill().await;
        None
    }

    /// Returns the reason of the end, in words that follow the name of its program; `None` if the
    /// process was to end.
    fn reason(&self, broke: ExitReason, exit: Option<Exit>) -> Option<String> {
        let stage = match broke {
            ExitReason::Orderly => return None,
            ExitReason::Fault(reason) | ExitReason::Stuck(reason) => return Some(reason),
            ExitReason::CallError(stage) => stage,
        };
        let how = exit.map_or_else(|| "closed its socket".to_owned(), |exit| exit.to_string());
        let memory = match (exit, self.plan.launch.limits.memory) {
            (Some(Exit::Signal(signal)), Some(bytes))
                if OUT_OF_MEMORY.iter().any(|one| *one as i32 == signal) =>
            {
                format!(" (its `limits.memory` is {} MiB)", bytes >> 20)
            }
            _ => String::new(),
        };
        Some(match stage {
            ProcessStage::Hello => format!("{how}{memory} before it said hello: {HELLO_HINT}"),
            ProcessStage::Ready => format!("{how}{memory} before it said ready"),
            ProcessStage::Serving => format!("{how}{memory}"),
        })
    }
}

/// Hint in the reason if a program does not begin as a cell's program must.
const HELLO_HINT: &str = "a cell's program stays in the foreground and connects to the socket in CBS_SIDECAR_SOCKET, \
                          as the SDKs of CBS do";

/// Signals that kill programs which get no more memory.
const OUT_OF_MEMORY: &[Signal] =
    &[Signal::SIGABRT, Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL];
