//! Processes of `cbs up`: how soon they answer, how much memory they hold.
//!
//! A body of many Rust cells is this program itself: with [`LINKED`] in its environment it is
//! `cbs` with so many cells linked in, and takes the arguments of `cbs`.

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
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::cells;

/// The environment variable that makes this program `cbs`, and says with how many cells.
const LINKED: &str = "CBS_BENCH_CELLS";
/// How long a process may take until it answers.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// How often it is asked whether it answers.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// How long a process does nothing before its memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// The cells to link in where this process is to be `cbs`.
pub(crate) fn cells_to_link() -> Option<Vec<NativeCell>> {
    let count = env::var(LINKED).ok()?.parse().ok()?;
    Some(cells::many(count).map(|name| cells::echo(&name)).collect())
}

/// A program that has `cbs`'s commands.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    linked: Option<usize>,
}

impl Program {
    /// `cbs` itself: `CBS_BIN`, else the one beside this program.
    pub(crate) fn cbs() -> anyhow::Result<Self> {
        let named = env::var_os("CBS_BIN").filter(|path| !path.is_empty()).map(PathBuf::from);
        let path = named.map_or_else(|| env::current_exe().map(|own| own.with_file_name("cbs")), Ok)?;
        ensure!(path.is_file(), "no program at {}: `make bench` builds it", path.display());
        Ok(Self { path, linked: None })
    }

    /// This program as a `cbs` with so many cells.
    pub(crate) fn of_many(count: usize) -> anyhow::Result<Self> {
        Ok(Self { path: env::current_exe()?, linked: Some(count) })
    }

    /// Runs `cbs up` on a folder of specs.
    pub(crate) fn up(&self, specs: &Path, url: &str, namespace: &Namespace) -> anyhow::Result<Up> {
        let mut command = Command::new(&self.path);
        command.arg("up").arg(specs).args(["--nats", url, "--namespace", namespace.as_str()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command.env_remove("CBS_LOG").env_remove("CBS_HTTP").env_remove(LINKED);
        if let Some(count) = self.linked {
            command.env(LINKED, count.to_string());
        }
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("{} cannot be run", self.path.display()))?;
        Ok(Up { child, started })
    }
}

/// A process of `cbs up`; killed when dropped.
pub(crate) struct Up {
    child: Child,
    started: Instant,
}

/// What a process holds in memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All its pages, shared ones too.
    pub(crate) resident: f64,
    /// Its pages, shared ones in proportion.
    pub(crate) proportional: f64,
    /// What it allocated.
    pub(crate) anonymous: f64,
}

impl Up {
    /// How long it took from the start of the process to the first answered call.
    pub(crate) async fn answered(&mut self, client: &Client, subject: &str, input: &str) -> anyhow::Result<Duration> {
        let subject = Subject::from(subject);
        loop {
            match client.request(subject.clone(), input.to_owned().into()).await {
                Ok(reply) if reply.headers.is_none() => return Ok(self.started.elapsed()),
                Ok(reply) => bail!("{subject} answers with an error: {:?}", reply.headers),
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("`cbs up` ended ({status}): {}", self.last_words().await);
            }
            ensure!(self.started.elapsed() < READY_LIMIT, "`cbs up` does not answer within {READY_LIMIT:?}");
            sleep(ASK_EVERY).await;
        }
    }

    /// What it holds after a while in which nothing was asked of it.
    pub(crate) async fn memory(&self) -> anyhow::Result<Memory> {
        sleep(IDLE).await;
        let pid = self.child.id().context("`cbs up` has ended")?;
        let sums = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("no /proc/<pid>/smaps_rollup")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("no /proc/<pid>/status")?;
        let read = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            kibibytes.map(|kibibytes| kibibytes * 1024.0).with_context(|| format!("/proc/{pid} does not tell {name}"))
        };
        Ok(Memory {
            resident: read(&sums, "Rss")?,
            proportional: read(&sums, "Pss")?,
            anonymous: read(&status, "RssAnon")?,
        })
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("`cbs up` has ended by itself")?;
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
        let status = timeout(STOP_LIMIT, self.child.wait()).await.context("`cbs up` does not end")??;
        ensure!(status.success(), "`cbs up` ended with {status}: {}", self.last_words().await);
        Ok(())
    }

    async fn last_words(&mut self) -> String {
        let mut text = Vec::new();
        if let Some(stderr) = &mut self.child.stderr {
            // What cannot be read is left out; the status has been told.
            let _ = timeout(Duration::from_secs(1), stderr.read_to_end(&mut text)).await;
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.get(lines.len().saturating_sub(2)..).unwrap_or_default().join(" / ")
    }
}
