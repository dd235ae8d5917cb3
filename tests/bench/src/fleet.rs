//! Bodies of one fleet, on a server of their own with JetStream, and deploys to them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use async_nats::{Client, ConnectOptions};
use bus_nats::server::{Server, Settings};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};
use tokio::{process::Command, time::sleep};

use crate::{
    memory::Memory,
    program::{Program, Up},
};

/// Limit of a deploy.
const DEPLOY_LIMIT: Duration = Duration::from_secs(300);
/// Time between two looks at the memory of a working process.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Configuration of two accounts: one for all clients, with JetStream, and the system account,
/// which may read the server's counters.
const ACCOUNTS: &str = "accounts {\n  ALL { jetstream: enabled, users: [ { user: all, password: all } ] }\n  \
    SYS { users: [ { user: sys, password: sys } ] }\n}\nsystem_account: SYS\nno_auth_user: all\n";

/// A server and the bodies of one fleet; all end when this is dropped.
pub(crate) struct Fleet {
    pub(crate) bodies: Vec<Up>,
    pub(crate) client: Client,
    monitor: Client,
    folder: TempDir,
    // The last field: the server ends after the bodies.
    server: Server,
}

/// Time and memory that a deploy took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deployed {
    /// Time from the start of the command until it showed its plan: specs are read, checked and
    /// packed.
    pub(crate) read: Duration,
    /// Time from then until the new head was written.
    pub(crate) written: Duration,
    /// Time from then until all bodies had followed.
    pub(crate) followed: Duration,
    /// The most memory that the command used, in bytes.
    pub(crate) memory: f64,
}

impl Deployed {
    pub(crate) fn total(&self) -> Duration {
        self.read + self.written + self.followed
    }
}

impl Fleet {
    /// Starts a server and `bodies` bodies, and waits until all have joined.
    pub(crate) async fn start(program: &Program, bodies: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = Some(folder.path().join("store"));
        let server =
            Server::start(Settings { store, extra: ACCOUNTS.to_owned(), ..Settings::default() })
                .await?;
        let system = ConnectOptions::with_user_and_password("sys".to_owned(), "sys".to_owned());
        let monitor = system.connect(server.url()).await?;
        let client = async_nats::connect(server.url()).await?;
        let ids: Vec<String> = (0..bodies).map(|index| format!("body{index}")).collect();
        let started = ids.iter().map(|id| program.join(id, server.url()));
        let bodies = started.collect::<anyhow::Result<Vec<Up>>>()?;
        let fleet = Self { bodies, client, monitor, folder, server };
        fleet.joined(&ids).await?;
        Ok(fleet)
    }

    pub(crate) fn url(&self) -> &str {
        self.server.url()
    }

    /// Makes a folder for the specs of a deploy.
    pub(crate) fn specs(&self) -> anyhow::Result<PathBuf> {
        let specs = self.folder.path().join("specs");
        fs::create_dir_all(&specs)?;
        Ok(specs)
    }

    async fn joined(&self, ids: &[String]) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let mut command = self.command(&["bodies", "--format", "json"])?;
            let reported = command.output().await?.stdout;
            let bodies: Vec<Value> = serde_json::from_slice(&reported).unwrap_or_default();
            if bodies.len() == ids.len() {
                return Ok(());
            }
            ensure!(
                began.elapsed() < DEPLOY_LIMIT,
                "{} of {} bodies have joined",
                bodies.len(),
                ids.len()
            );
            sleep(LOOK_EVERY).await;
        }
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(Program::cbs()?.path);
        command
            .args(arguments)
            .args(["--nats", self.url()])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command.env_remove("CBS_LOG").env_remove("CBS_NAMESPACE");
        Ok(command)
    }

    /// Deploys a folder, and waits until all bodies follow.
    pub(crate) async fn deploy(&self, folder: &Path) -> anyhow::Result<Deployed> {
        let log = NamedTempFile::new()?;
        let mut command =
            self.command(&["deploy", &folder.to_string_lossy(), "--timeout", "5m"])?;
        command.stdout(Stdio::null()).stderr(log.reopen()?);
        let began = Instant::now();
        let mut deploying = command.spawn()?;
        let pid = deploying.id().context("`cbs deploy` has ended")?;
        let mut planned = None;
        let mut written = None;
        let mut memory = 0.0_f64;
        let status = loop {
            if let Some(status) = deploying.try_wait()? {
                break status;
            }
            let now = began.elapsed();
            if written.is_none() {
                let reported = fs::read_to_string(log.path()).unwrap_or_default();
                planned = planned.or_else(|| reported.starts_with("plan").then_some(now));
                written = reported.contains("\nhead ").then_some(now);
            }
            // The command may end during this look.
            memory = Memory::of(pid).map_or(memory, |held| memory.max(held.peak));
            ensure!(now < DEPLOY_LIMIT, "`cbs deploy` does not end within {DEPLOY_LIMIT:?}");
            sleep(LOOK_EVERY).await;
        };
        let ended = began.elapsed();
        let reported = fs::read_to_string(log.path()).unwrap_or_default();
        let last = reported.lines().next_back().unwrap_or_default();
        ensure!(status.success(), "`cbs deploy` ended with {status}: {last}");
        let (planned, written) = (planned.unwrap_or(ended), written.unwrap_or(ended));
        let followed = ended.saturating_sub(written);
        Ok(Deployed { read: planned, written: written.saturating_sub(planned), followed, memory })
    }

    /// Number of messages that the server has received so far, and number that it has sent.
    pub(crate) async fn messages(&self) -> anyhow::Result<[f64; 2]> {
        let reported = self.monitor.request("$SYS.REQ.SERVER.PING.VARZ", "".into()).await?;
        let reported: Value = serde_json::from_slice(&reported.payload)?;
        let number = |name: &str| {
            reported.pointer(name).and_then(Value::as_f64).with_context(|| format!("no {name}"))
        };
        Ok([number("/data/in_msgs")?, number("/data/out_msgs")?])
    }

    /// Asks all bodies to end at the same time, and waits for their end.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        // When a whole fleet ends, no body takes over its cells.
        for body in self.bodies {
            body.kill().await?;
        }
        self.server.kill().await;
        Ok(())
    }
}
