//! Answerers that are not CBS: scripts in `peers/`, each a process of its own.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use async_nats::{Client, RequestErrorKind, Subject};
use bytes::Bytes;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::{
    cells,
    stage::{self, Bench},
};

/// Limit of the time until a peer answers.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// Time between two requests until it answers.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A peer that answers; killed when dropped.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    child: Child,
    client: Client,
    subject: Subject,
}

impl Peer {
    /// Starts a nats-py subscriber that reads and writes JSON with msgspec.
    pub(crate) async fn nats_py(bench: &Bench) -> anyhow::Result<Self> {
        Self::script(bench, "nats-py", "nats_py.py", &[]).await
    }

    /// Starts a FastStream subscriber that does the same.
    pub(crate) async fn faststream(bench: &Bench) -> anyhow::Result<Self> {
        Self::script(bench, "FastStream", "faststream_rpc.py", &["msgspec"]).await
    }

    /// Starts the raw answerer, in a process of its own like all peers.
    pub(crate) async fn raw(bench: &Bench) -> anyhow::Result<Self> {
        let subject = Self::subject()?;
        let mut command = Command::new(env::current_exe()?);
        command.env(stage::ANSWERS, format!("{} {subject}", bench.url));
        Self::start(bench, "raw in a process of its own", command, subject).await
    }

    async fn script(
        bench: &Bench,
        name: &'static str,
        script: &str,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let subject = Self::subject()?;
        let mut command = Command::new(python()?);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
        // Installed modules come before those of the script's folder, and Python writes nothing
        // beside the script.
        command.arg("-PB").arg(script).args([&*bench.url, subject.as_str()]).args(more);
        Self::start(bench, name, command, subject).await
    }

    fn subject() -> anyhow::Result<Subject> {
        Ok(Subject::from(format!("{}.peer", stage::namespace()?)))
    }

    async fn start(
        bench: &Bench,
        name: &'static str,
        mut command: Command,
        subject: Subject,
    ) -> anyhow::Result<Self> {
        let client = async_nats::connect(&bench.url).await?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{name} cannot be run"))?;
        let mut peer = Self { name, child, client, subject };
        peer.ready().await?;
        Ok(peer)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let (began, payload) = (Instant::now(), cells::payload(128));
        loop {
            match self.client.request(self.subject.clone(), payload.clone()).await {
                Ok(reply) => {
                    ensure!(reply.payload == payload, "{} answers {:?}", self.name, reply.payload);
                    return Ok(());
                }
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status})", self.name);
            }
            ensure!(
                began.elapsed() < READY_LIMIT,
                "{} does not answer within {READY_LIMIT:?}",
                self.name
            );
            sleep(ASK_EVERY).await;
        }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a plain request; the reply must have as many bytes.
    pub(crate) async fn call(&self, payload: &Bytes) -> anyhow::Result<()> {
        let reply = self.client.request(self.subject.clone(), payload.clone()).await?;
        ensure!(
            reply.payload.len() == payload.len(),
            "{} answers with {} bytes",
            self.name,
            reply.payload.len()
        );
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Finds the interpreter of the peers' environment.
fn python() -> anyhow::Result<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache =
        || named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")));
    let tools = named("CBS_TOOLS").or_else(|| cache().map(|cache| cache.join("cbs/tools")));
    let python = tools.context("no HOME")?.join("bench-peers/bin/python");
    ensure!(python.is_file(), "no {}: `make bench` makes it", python.display());
    Ok(python)
}
