//! Common parts of all rows: the server, the time of a round, the raw side.

use std::{env, time::Duration};

use anyhow::{Context as _, ensure};
use async_nats::{Client, Subject, Subscriber};
use bus_nats::server::{Server, Settings};
use bytes::Bytes;
use cbs::{Namespace, Uuid};
use futures::StreamExt as _;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

use crate::{arguments::Arguments, load::Load};

/// Tools and settings of a row.
pub(crate) struct Bench {
    pub(crate) rounds: usize,
    pub(crate) length: Duration,
    pub(crate) url: String,
    pub(crate) server_version: String,
    /// Runtime with as many threads as cores, like a body's.
    pub(crate) runtime: Runtime,
    /// The bench's own server, unless one was named. Drop kills it.
    server: Option<Server>,
}

impl Bench {
    pub(crate) fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let server = match &arguments.nats {
            Some(_) => None,
            None => Some(runtime.block_on(Server::start(Settings::default()))?),
        };
        let own = server.as_ref().map(|server| server.url().to_owned());
        let url = arguments.nats.clone().or(own).unwrap_or_default();
        let client = runtime.block_on(async_nats::connect(&url));
        let client = client.with_context(|| format!("no NATS server answers at {url}"))?;
        let server_version = client.server_info().version;
        Ok(Self {
            rounds: arguments.rounds(),
            length: arguments.length(),
            url,
            server_version,
            runtime,
            server,
        })
    }

    /// Starts one more server of the same kind; `None` if a server was named.
    pub(crate) async fn another_server(&self) -> anyhow::Result<Option<Server>> {
        match self.server {
            Some(_) => Ok(Some(Server::start(Settings::default()).await?)),
            None => Ok(None),
        }
    }

    /// Returns the load of `callers` callers, for the time of a side of a round.
    pub(crate) fn load(&self, callers: usize) -> Load {
        let processes = self.server.iter().map(Server::pid).collect();
        Load { callers, length: self.length, pause: None, processes }
    }

    /// Names the processes whose processor time the rows count.
    pub(crate) fn cpu_of(&self) -> &'static str {
        match self.server {
            Some(_) => {
                "CPU time a call of caller, server and answerer together, raw / CBS: more is better"
            }
            None => {
                "CPU time a call of caller and answerer, without the server's (it is not ours), raw / CBS"
            }
        }
    }
}

/// Makes a namespace that no other program uses, on any server.
pub(crate) fn namespace() -> anyhow::Result<Namespace> {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    Ok(Namespace::new(&format!("bench-{:08x}", random >> 32))?)
}

/// The raw side: an async-nats client and an answerer in a queue group, on a connection each.
pub(crate) struct Raw {
    pub(crate) client: Client,
    subject: Subject,
    _answerer: JoinSet<()>,
}

impl Raw {
    pub(crate) async fn start(url: &str) -> anyhow::Result<Self> {
        let answerer = async_nats::connect(url).await?;
        let client = async_nats::connect(url).await?;
        let subject = Subject::from(format!("{}.raw", namespace()?));
        let requests = answerer.queue_subscribe(subject.clone(), "raw".to_owned()).await?;
        answerer.flush().await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(answer(answerer, requests));
        Ok(Self { client, subject, _answerer: tasks })
    }

    /// Sends one request and waits for its reply.
    pub(crate) async fn call(&self, payload: &Bytes) -> anyhow::Result<()> {
        plain(&self.client, &self.subject, payload).await
    }
}

async fn answer(client: Client, mut requests: Subscriber) {
    while let Some(request) = requests.next().await {
        let Some(reply) = request.reply else { continue };
        if client.publish(reply, request.payload).await.is_err() {
            break;
        }
    }
}

/// The environment variable that turns this program into a raw answerer: the server's address and
/// the subject.
pub(crate) const ANSWERS: &str = "CBS_BENCH_RAW";

/// Returns address and subject if this process is to be a raw answerer.
pub(crate) fn to_answer() -> Option<(String, String)> {
    let both = env::var(ANSWERS).ok()?;
    both.split_once(' ').map(|(url, subject)| (url.to_owned(), subject.to_owned()))
}

/// Answers until the process is ended.
pub(crate) fn answer_here(url: &str, subject: String) -> anyhow::Result<()> {
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let client = async_nats::connect(url).await?;
        let requests = client.queue_subscribe(subject, "raw".to_owned()).await?;
        answer(client, requests).await;
        Ok(())
    })
}

/// Sends a plain request to a subject; the reply must have as many bytes, and no error.
pub(crate) async fn plain(
    client: &Client,
    subject: &Subject,
    payload: &Bytes,
) -> anyhow::Result<()> {
    let reply = client.request(subject.clone(), payload.clone()).await?;
    ensure!(reply.headers.is_none(), "{subject} answers with an error: {:?}", reply.headers);
    ensure!(
        reply.payload.len() == payload.len(),
        "{subject} answers with {} bytes",
        reply.payload.len()
    );
    Ok(())
}
