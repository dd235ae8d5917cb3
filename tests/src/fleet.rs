//! A server, and the bodies that run on it.

use std::{path::Path, time::Duration};

use async_nats::{Client, ConnectOptions};
use serde_json::Value;
use testkit::{NatsServer, within};
use tokio::process::Command;

use crate::{Body, Caller, Done, LIMIT, Process, Standings, World};

/// Configuration of two accounts: one for all clients, and the system account, which may read the
/// server's counters.
const MONITORED: &str = "accounts {\n  ALL { users: [ { user: all, password: all } ] }\n  \
    SYS { users: [ { user: sys, password: sys } ] }\n}\nsystem_account: SYS\nno_auth_user: all\n";

/// Limit of a body's start: it may compile a Dart cell, and make the environment of Python cells.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Limit of a deploy.
const DEPLOY_LIMIT: Duration = Duration::from_secs(160);

/// A real nats-server, and the [`World`] of the programs that use it.
#[derive(Debug)]
pub struct Fleet {
    /// The server.
    pub server: NatsServer,
    /// Working folder and environment of the programs.
    pub world: World,
}

impl Fleet {
    /// Starts a server without special settings.
    pub async fn start() -> Self {
        Self { server: NatsServer::start().await, world: World::new() }
    }

    /// Starts a server with JetStream, which deploys need.
    pub async fn with_jetstream() -> Self {
        Self { server: NatsServer::with_jetstream().await, world: World::new() }
    }

    /// Starts a server with additional configuration.
    pub async fn with_config(extra: &str) -> Self {
        Self { server: NatsServer::with_config(extra).await, world: World::new() }
    }

    /// Starts a server whose counters can be read.
    pub async fn monitored() -> (Self, Monitor) {
        let fleet = Self::with_config(MONITORED).await;
        let options = ConnectOptions::with_user_and_password("sys".to_owned(), "sys".to_owned());
        let client = within(LIMIT, "a connection", options.connect(fleet.server.url()))
            .await
            .expect("a connection");
        (fleet, Monitor { client })
    }

    /// The command that runs a body on this server.
    pub fn command(&self, body: &Body) -> Command {
        let mut command = body.command(&self.world);
        command.args(["--nats", self.server.url()]);
        command
    }

    /// Starts a body and waits until it is ready.
    pub async fn up(&self, body: &Body) -> Process {
        let mut process = self.world.start(self.command(body));
        process.until_printed_within(START_LIMIT, &format!("body {}, namespace ", body.id())).await;
        process
    }

    /// Runs a command of `cbs` against this server.
    pub async fn run(&self, arguments: &[&str]) -> Done {
        self.world.run(&[arguments, &["--nats", self.server.url()]].concat()).await
    }

    /// Deploys a folder. The limit leaves time to make the first environment of a Python cell.
    pub async fn deploy(&self, folder: &Path) -> Done {
        self.deploy_with(folder, &[]).await
    }

    /// Deploys a folder, with more arguments.
    pub async fn deploy_with(&self, folder: &Path, more: &[&str]) -> Done {
        let folder = folder.to_string_lossy();
        let mut deploying =
            self.spawn(&[&["deploy", &*folder, "--timeout", "150s"], more].concat());
        deploying.ended_within(DEPLOY_LIMIT).await
    }

    /// Starts a command of `cbs` against this server.
    pub fn spawn(&self, arguments: &[&str]) -> Process {
        self.world.start(self.world.cbs(&[arguments, &["--nats", self.server.url()]].concat()))
    }

    /// Asks all bodies for the states of the deployed entries.
    pub async fn standings(&self) -> Standings {
        Standings::read(&self.world, self.server.url()).await
    }

    /// Connects a NATS client that knows nothing of CBS.
    pub async fn caller(&self) -> Caller {
        Caller::connect(self.server.url(), ConnectOptions::new()).await
    }
}

/// Reads the server's counters (its `varz`) through its system account.
#[derive(Clone, Debug)]
pub struct Monitor {
    client: Client,
}

impl Monitor {
    /// A number of the server, such as `in_msgs`, `slow_consumers`, `subscriptions` or
    /// `total_connections`.
    ///
    /// # Panics
    /// When the server does not report it.
    pub async fn number(&self, name: &str) -> u64 {
        let asked = self.client.request("$SYS.REQ.SERVER.PING.VARZ", "".into());
        let reported =
            within(LIMIT, "the server's numbers", asked).await.expect("an answer of the server");
        let reported: Value = serde_json::from_slice(&reported.payload).expect("JSON");
        reported
            .pointer(&format!("/data/{name}"))
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no {name} in {reported}"))
    }
}
