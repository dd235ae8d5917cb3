//! Processes of `cbs up`, and the time until they answer.
//!
//! A body of many Rust cells is this program itself: with [`LINKED`] in its environment it is `cbs`
//! with that number of cells linked in, and takes the arguments of `cbs`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use async_nats::{Client, RequestErrorKind, Subject};
use cbs::{Namespace, NativeCell};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::NamedTempFile;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{cells, driver, memory::Memory};

/// The environment variable that turns this program into `cbs`; its value is the number of cells.
const LINKED: &str = "CBS_BENCH_CELLS";
/// The hidden command of `cbs` that a body runs for Python cells with `isolation: process`.
const WORKER: &str = "python-worker";
/// Limit of the time until a process answers.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Limit of the time until it ends.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Time between two requests until it answers.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// Time that a process is idle before its memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// Returns the cells to link in if this process is to be `cbs`: many cells, one that calls others,
/// and two to call.
pub(crate) fn cells_to_link() -> Option<Vec<NativeCell>> {
    // Its own workers are also this program, and start with an environment of their own.
    let is_worker = env::args().nth(1).as_deref() == Some(WORKER);
    let count = if is_worker { 0 } else { env::var(LINKED).ok()?.parse().ok()? };
    let own = [driver::cell(), cells::echo(cells::ECHO), cells::typed_echo(cells::TYPED)];
    Some(cells::many(count).map(|name| cells::echo(&name)).chain(own).collect())
}

/// A program that has `cbs`'s commands.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    linked: Option<usize>,
}

impl Program {
    /// Finds `cbs` itself: `CBS_BIN`, else the one beside this program.
    pub(crate) fn cbs() -> anyhow::Result<Self> {
        let named = env::var_os("CBS_BIN").filter(|path| !path.is_empty()).map(PathBuf::from);
        let path =
            named.map_or_else(|| env::current_exe().map(|own| own.with_file_name("cbs")), Ok)?;
        ensure!(path.is_file(), "no program at {}: `make bench` builds it", path.display());
        Ok(Self { path, linked: None })
    }

    /// Returns this program as a `cbs` with a cell that calls others.
    pub(crate) fn with_driver() -> anyhow::Result<Self> {
        Self::of_many(0)
    }

    /// Returns this program as a `cbs` with `count` cells.
    pub(crate) fn of_many(count: usize) -> anyhow::Result<Self> {
        Ok(Self { path: env::current_exe()?, linked: Some(count) })
    }

    /// Runs `cbs up` on a folder of specs.
    pub(crate) fn up(&self, specs: &Path, url: &str, namespace: &Namespace) -> anyhow::Result<Up> {
        self.up_with(specs, url, namespace, &[])
    }

    /// Runs `cbs up` on a folder of specs, with more arguments.
    pub(crate) fn up_with(
        &self,
        specs: &Path,
        url: &str,
        namespace: &Namespace,
        more: &[&str],
    ) -> anyhow::Result<Up> {
        let mut command = Command::new(&self.path);
        command
            .arg("up")
            .arg(specs)
            .args(["--nats", url, "--namespace", namespace.as_str()])
            .args(more);
        self.start(command)
    }

    /// Runs `cbs up` as a body of the fleet in the default namespace.
    pub(crate) fn join(&self, id: &str, url: &str) -> anyhow::Result<Up> {
        let mut command = Command::new(&self.path);
        command.args(["up", "--body", id, "--nats", url]).env_remove("CBS_NAMESPACE");
        self.start(command)
    }

    fn start(&self, mut command: Command) -> anyhow::Result<Up> {
        // The log goes to a file; a pipe that nobody reads would stop the body once it is full.
        let log = NamedTempFile::new()?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.reopen()?).kill_on_drop(true);
        command.env_remove("CBS_LOG").env_remove("CBS_HTTP").env_remove(LINKED);
        if let Some(count) = self.linked {
            command.env(LINKED, count.to_string());
        }
        let started = Instant::now();
        let child =
            command.spawn().with_context(|| format!("{} cannot be run", self.path.display()))?;
        Ok(Up { child, log, started })
    }
}

/// A process of `cbs up`; killed when dropped.
pub(crate) struct Up {
    child: Child,
    log: NamedTempFile,
    started: Instant,
}

impl Up {
    /// The process id.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("`cbs up` has ended: {}", self.last_words()))
    }

    /// Returns the ids of the processes that it has started itself.
    pub(crate) fn children(&self) -> anyhow::Result<Vec<u32>> {
        let mut found = Vec::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid()?))? {
            let children = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        Ok(found)
    }

    /// Returns the ids of the process and its children.
    pub(crate) fn family(&self) -> anyhow::Result<Vec<u32>> {
        Ok([vec![self.pid()?], self.children()?].concat())
    }

    /// Waits for the first answered call; returns the time since the start of the process.
    pub(crate) async fn answered(
        &mut self,
        client: &Client,
        subject: &str,
        input: &str,
    ) -> anyhow::Result<Duration> {
        let subject = Subject::from(subject);
        loop {
            match client.request(subject.clone(), input.to_owned().into()).await {
                Ok(reply) if reply.headers.is_none() => return Ok(self.started.elapsed()),
                Ok(reply) => bail!("{subject} answers with an error: {:?}", reply.headers),
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("`cbs up` ended ({status}): {}", self.last_words());
            }
            ensure!(
                self.started.elapsed() < READY_LIMIT,
                "it does not answer within {READY_LIMIT:?}; `cbs up` says: {}",
                self.last_words()
            );
            sleep(ASK_EVERY).await;
        }
    }

    /// Waits until the process was idle for a while, and reads its memory.
    pub(crate) async fn memory(&self) -> anyhow::Result<Memory> {
        sleep(IDLE).await;
        Memory::of(self.pid()?)
    }

    /// Asks the process to end, and waits for its end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.pid()?;
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
        let status =
            timeout(STOP_LIMIT, self.child.wait()).await.context("`cbs up` does not end")??;
        ensure!(status.success(), "`cbs up` ended with {status}: {}", self.last_words());
        Ok(())
    }

    /// Kills the process, and waits for its end.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    fn last_words(&self) -> String {
        // If the log cannot be read, it is left out; the status is in the error already.
        let text = fs::read(self.log.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.get(lines.len().saturating_sub(2)..).unwrap_or_default().join(" / ")
    }
}
