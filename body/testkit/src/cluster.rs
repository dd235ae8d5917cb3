//! A cluster of nats-servers for a test.

use std::{net::TcpListener, time::Duration};

use async_nats::{
    Client,
    jetstream::{
        self, Context,
        stream::{Config, Info, StorageType},
    },
};
use bus_nats::server::{Settings, StartError};
use futures::future::join_all;
use tempfile::TempDir;

use crate::{NatsServer, eventually, within};

/// Smallest number of servers that goes on without one of them.
const NODES: usize = 3;
/// Limit that is longer than the election of a leader, 4 to 9 s, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Number of tries with other free ports: another program may take a port before its server starts.
const TRIES: usize = 5;

/// Three nats-servers with JetStream that are one cluster, on loopback. They end with the test.
///
/// ```no_run
/// # async fn example() {
/// let mut cluster = testkit::NatsCluster::start().await;
/// // … something makes the stream `orders` …
/// cluster.replicate("orders").await;
/// let leader = cluster.leader("orders").await;
/// cluster.node(leader).kill().await;
/// cluster.until_led("orders").await;
/// # }
/// ```
#[derive(Debug)]
pub struct NatsCluster {
    nodes: Vec<NatsServer>,
    /// Folder where JetStream keeps its data, removed at the end.
    _stores: TempDir,
    client: Client,
}

impl NatsCluster {
    /// Starts the servers, and waits until a stream with a copy on each can be made.
    ///
    /// # Panics
    /// If they do not start or do not find each other.
    pub async fn start() -> Self {
        let stores =
            tempfile::Builder::new().prefix("cbs-cluster-").tempdir().expect("a temporary folder");
        let nodes = Self::nodes(&stores).await;
        let client = async_nats::ConnectOptions::new()
            .retry_on_initial_connect()
            .connect(urls(&nodes))
            .await;
        let cluster =
            Self { nodes, _stores: stores, client: client.expect("addresses of servers") };
        let jetstream = cluster.jetstream();
        eventually("a cluster that replicates", LIMIT, async || {
            let config = Config {
                name: "cluster_is_ready".to_owned(),
                num_replicas: NODES,
                storage: StorageType::Memory,
                ..Config::default()
            };
            jetstream.create_stream(config).await.is_ok()
        })
        .await;
        jetstream.delete_stream("cluster_is_ready").await.expect("the stream that was just made");
        cluster
    }

    async fn nodes(stores: &TempDir) -> Vec<NatsServer> {
        for _ in 0..TRIES {
            let ports = free_ports();
            let started = join_all((0..NODES).map(|index| node(stores, index, &ports))).await;
            match started.into_iter().collect::<Result<Vec<_>, _>>() {
                Ok(nodes) => return nodes,
                Err(StartError::Ended { log, .. }) if log.contains("address already in use") => {}
                Err(error) => panic!("this test needs a cluster of nats-servers: {error}"),
            }
        }
        panic!("the ports of a cluster were taken {TRIES} times");
    }

    /// Returns the address for clients: all servers, joined by commas.
    #[must_use]
    pub fn url(&self) -> String {
        urls(&self.nodes).join(",")
    }

    /// Returns one of the servers, by the index that [`Self::leader`] returns.
    ///
    /// # Panics
    /// If there is no server with this index.
    pub fn node(&mut self, index: usize) -> &mut NatsServer {
        self.nodes.get_mut(index).expect("a server of the cluster")
    }

    /// Returns a client of the cluster.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a copy of a stream on every server, and waits until all copies are complete.
    ///
    /// # Panics
    /// If there is no such stream, or if the copies are not complete in time.
    pub async fn replicate(&self, stream: &str) {
        let config =
            Config { num_replicas: NODES, ..self.info(stream).await.expect("the stream").config };
        self.jetstream().update_stream(config).await.expect("a stream with a copy on every server");
        eventually(&format!("all copies of {stream}"), LIMIT, async || {
            let cluster = self.info(stream).await.and_then(|info| info.cluster);
            cluster.is_some_and(|it| {
                it.leader.is_some()
                    && it.replicas.len() == NODES - 1
                    && it.replicas.iter().all(|copy| copy.current)
            })
        })
        .await;
    }

    /// Returns the number of servers that keep a stream.
    ///
    /// # Panics
    /// If there is no such stream.
    pub async fn copies(&self, stream: &str) -> usize {
        self.info(stream).await.expect("the stream").config.num_replicas
    }

    /// Returns the index of the server that leads a stream.
    ///
    /// # Panics
    /// If no server leads it.
    pub async fn leader(&self, stream: &str) -> usize {
        let cluster =
            self.info(stream).await.and_then(|info| info.cluster).expect("a stream of the cluster");
        let name = cluster.leader.expect("a leader");
        (0..self.nodes.len()).find(|index| named(*index) == name).expect("a server of the cluster")
    }

    /// Waits until a stream has a leader.
    ///
    /// # Panics
    /// If none is elected.
    pub async fn until_led(&self, stream: &str) {
        eventually(&format!("a leader of {stream}"), LIMIT, async || {
            self.info(stream)
                .await
                .and_then(|info| info.cluster)
                .is_some_and(|it| it.leader.is_some())
        })
        .await;
    }

    async fn info(&self, stream: &str) -> Option<Info> {
        let jetstream = self.jetstream();
        let found =
            within(LIMIT, "an answer about a stream", jetstream.get_stream(stream)).await.ok()?;
        Some(found.cached_info().clone())
    }

    fn jetstream(&self) -> Context {
        jetstream::new(self.client.clone())
    }
}

fn urls(nodes: &[NatsServer]) -> Vec<String> {
    nodes.iter().map(|node| node.url().to_owned()).collect()
}

fn named(index: usize) -> String {
    format!("node{index}")
}

/// Returns ports that no program listens on: servers of a cluster must know each other's ports
/// before they start.
fn free_ports() -> Vec<u16> {
    let listeners = (0..NODES).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    // All at once, so that they differ.
    let listeners: Vec<TcpListener> = listeners.collect();
    listeners.iter().map(|listener| listener.local_addr().expect("its port").port()).collect()
}

async fn node(stores: &TempDir, index: usize, ports: &[u16]) -> Result<NatsServer, StartError> {
    let name = named(index);
    let port = ports.get(index).copied().unwrap_or_default();
    let routes: Vec<String> =
        ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
    let routes = routes.join(", ");
    let extra = format!(
        "server_name: {name}\ncluster {{ name: test, listen: \"127.0.0.1:{port}\", routes: [ {routes} ] }}\n"
    );
    let store = Some(stores.path().join(&name));
    NatsServer::try_with_settings(Settings { store, extra, ..Settings::default() }).await
}
