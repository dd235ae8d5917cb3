//! One life of one process: started, greeted, served, seen off.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    connection::Connection,
    handshake::{Refused, greet},
    output::{LastLines, Output, Stream},
    plan::Plan,
    process::{Exit, Pipes, Process},
    process_pool::ProcessPool,
    socket::Socket,
    worker_status::WorkerStatus,
};

/// How long a process that closed its socket is waited for, to learn how it ends.
pub(crate) const EXIT_PATIENCE: Duration = Duration::from_secs(2);
/// How long what a process wrote is still read when it has ended: what it left behind may hold its pipes open.
pub(crate) const OUTPUT_PATIENCE: Duration = Duration::from_millis(200);
/// SIGKILL takes a moment; a process that the kernel cannot end is left to its thread.
pub(crate) const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// One of a cell's processes.
pub(crate) struct Instance {
    pub(crate) plan: Arc<Plan>,
    pub(crate) pool: Arc<ProcessPool>,
    pub(crate) row: Arc<WorkerStatus>,
    /// Ends this process alone.
    pub(crate) stop: CancellationToken,
    /// Ends all of the cell's.
    pub(crate) stop_all: CancellationToken,
    pub(crate) number: u32,
    /// Whether it is to take over from one that serves: then it is tried once.
    pub(crate) replacement: bool,
}

/// How a life ended.
pub(crate) enum Ended {
    /// It was to end: the cell is stopped, or the process was one too many.
    Orderly,
    /// By itself, or it had to be ended, after so long as ready.
    Fell { reason: String, ready_for: Duration },
}

/// How far it had come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessStage {
    Hello,
    Ready,
    Serving,
}

/// Why it is not served any longer.
pub(crate) enum ExitReason {
    Orderly,
    /// It has ended, or closed its socket: how it exits tells why.
    CallError(ProcessStage),
    /// It was found at fault, in these words; its end is waited for.
    Fault(String),
    /// It does not move: its end is not waited for.
    Stuck(String),
}

impl Instance {
    /// Lives from the start of the process to its end; `ready` is called when it takes calls.
    pub(crate) async fn live(&self, ready: impl FnOnce()) -> Ended {
        let (process, pipes, socket) = match self.spawn().await {
            Ok(spawned) => spawned,
            Err(reason) => return Ended::Fell { reason, ready_for: Duration::ZERO },
        };
        self.row.started(process.pid());
        let last = LastLines::default();
        let enough = CancellationToken::new();
        let mut outputs = self.read(pipes, process.pid(), &last, &enough);
        let mut since = None;
        let broke = self
            .serve(&process, socket, || {
                since = Some(Instant::now());
                ready();
            })
            .await;
        let exit = self.shut_down(&process, &broke).await;
        // They are read to their end unless something that the process left behind holds them open. What the process has
        // said is there then, however busy the machine is.
        let mut all_read =
            async || timeout(OUTPUT_PATIENCE, async { while outputs.join_next().await.is_some() {} }).await;
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

    async fn spawn(&self) -> Result<(Process, Pipes, Socket), String> {
        let socket = Socket::open().map_err(|error| error.to_string())?;
        let command = self.plan.launch.command(socket.path())?;
        let (process, pipes) = Process::spawn(command, self.plan.launch.limits, self.plan.settings.files_soft)
            .await
            .map_err(|error| format!("cannot be run: {error}"))?;
        Ok((process, pipes, socket))
    }

    fn read(&self, pipes: Pipes, pid: u32, last: &LastLines, enough: &CancellationToken) -> JoinSet<()> {
        let mut outputs = JoinSet::new();
        let settings = &self.plan.settings;
        let output = |stream, last| Output {
            stream,
            cell: self.plan.env.target.name().into(),
            pid,
            lines_per_second: settings.lines_per_second,
            lines_burst: settings.lines_burst,
            last,
        };
        let (stdout, stderr) = (output(Stream::Stdout, LastLines::default()), output(Stream::Stderr, last.clone()));
        match tokio::process::ChildStdout::from_std(pipes.stdout) {
            Ok(pipe) => drop(outputs.spawn(stdout.read(pipe, enough.clone()))),
            Err(error) => tracing::warn!(%error, "the output of a process cannot be read"),
        }
        match tokio::process::ChildStderr::from_std(pipes.stderr) {
            Ok(pipe) => drop(outputs.spawn(stderr.read(pipe, enough.clone()))),
            Err(error) => tracing::warn!(%error, "the output of a process cannot be read"),
        }
        outputs
    }

    /// From the start of the process to the end of its connection.
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
                return ExitReason::Stuck(format!("did not say hello within {limit} s: {HELLO_HINT}"));
            }
        };
        tracing::debug!(
            target: "cbs::cell", cell = %self.plan.env.target.name(), pid = process.pid(), sdk = hello.sdk,
            language = hello.language, "a process of the cell said hello"
        );
        Connection::open(self, process, frames, &hello).run(ready).await
    }

    /// Waits for the process's end as long as it deserves, and then ends it. How it ended by itself, if it did.
    async fn shut_down(&self, process: &Process, broke: &ExitReason) -> Option<Exit> {
        let times = &self.plan.settings.times;
        match broke {
            ExitReason::CallError(_) | ExitReason::Fault(_) => {
                if let Ok(exit) = timeout(EXIT_PATIENCE, process.ended()).await {
                    return Some(exit);
                }
            }
            // It had its time to drain: what follows is for one that did not use it.
            ExitReason::Orderly => {
                process.signal(Signal::SIGTERM);
                if let Ok(exit) = timeout(times.term, process.ended()).await {
                    return Some(exit);
                }
                tracing::warn!(
                    target: "cbs::cell", cell = %self.plan.env.target.name(), pid = process.pid(),
                    "a process of the cell did not end when it was told to, and is killed"
                );
            }
            ExitReason::Stuck(_) => {}
        }
        process.signal(Signal::SIGKILL);
        let _ = timeout(KILL_PATIENCE, process.ended()).await;
        None
    }

    /// Why it ended, in words that follow the name of its program; `None` where it was to.
    fn reason(&self, broke: ExitReason, exit: Option<Exit>) -> Option<String> {
        let stage = match broke {
            ExitReason::Orderly => return None,
            ExitReason::Fault(reason) | ExitReason::Stuck(reason) => return Some(reason),
            ExitReason::CallError(stage) => stage,
        };
        let how = exit.map_or_else(|| "closed its socket".to_owned(), |exit| exit.to_string());
        let memory = match (exit, self.plan.launch.limits.memory) {
            (Some(Exit::Signal(signal)), Some(bytes)) if OUT_OF_MEMORY.iter().any(|one| *one as i32 == signal) => {
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

/// What a program must do that is to serve a cell.
const HELLO_HINT: &str = "a cell's program stays in the foreground and connects to the socket in CBS_SIDECAR_SOCKET, \
                          as the SDKs of CBS do";

/// What programs die of that get no more memory.
const OUT_OF_MEMORY: &[Signal] = &[Signal::SIGABRT, Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL];
