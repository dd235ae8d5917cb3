//! Discovery as a client: asks by the services protocol (ADR-32) which body serves which target.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cbs::{BusError, CellError, Code, LatencyBuckets, Namespace, Outcome, Target, Text, Worker};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::{Counters, admin::QUIET, connection::Connection};

/// One served target in one body, as its body reports it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Endpoint {
    /// Target that is served, for example `cell logic.greet`.
    #[serde(serialize_with = "display")]
    pub target: Target,
    /// The body that serves it.
    pub body: Text,
    /// The subject that it answers on.
    pub subject: String,
    /// The language that it is written in.
    pub language: Text,
    /// Its version; empty: not reported.
    pub version: Text,
    /// The revision of its spec.
    pub revision: Text,
    /// One line for a person.
    pub description: Text,
    /// The input's schema; empty: none.
    pub input: Text,
    /// The output's schema; empty: none.
    pub output: Text,
    /// Requests answered.
    pub calls: u64,
    /// Of these, with an error.
    pub errors: u64,
    /// Of these, refused with `overloaded`.
    pub shed: u64,
    /// Requests being handled.
    pub in_flight: u64,
    /// Requests waiting.
    pub queued: u64,
    /// The mean time in the handler.
    #[serde(rename = "mean_us", serialize_with = "micros")]
    pub mean: Duration,
    /// Number of calls per bucket of duration: microseconds, four buckets to a doubling.
    pub latency: LatencyBuckets,
    /// Errors by the kind of their code.
    pub errors_by_code: BTreeMap<String, u64>,
    /// The last error's one line; empty: none yet.
    pub last_error: Text,
    /// State of the target: `ready`, `restarting`, …; empty: not reported.
    pub state: Text,
    /// Reason why it is not ready; empty: it is ready, or no reason was reported.
    pub reason: Text,
    /// Number of restarts.
    pub restarts: u64,
    /// Status of the lanes or processes that run it; empty for what runs in the body itself.
    pub workers: Vec<Worker>,
    /// Error counters of the connections of its body.
    pub connections: Counters,
}

fn display<S: serde::Serializer>(value: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn micros<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_secs_f64() * 1e6)
}

/// Limit of the wait for a body that has answered the ping: one with thousands of cells needs time
/// to write.
pub(crate) const SLOW: Duration = Duration::from_secs(3);

/// Asks all services of a namespace what they serve and their counters. Waits for `wait` at most,
/// or up to `limit` if a service has answered the ping and not yet everything.
pub(crate) async fn discover(
    connection: &Connection,
    namespace: &Namespace,
    wait: Duration,
    limit: Duration,
) -> Result<Vec<Endpoint>, BusError> {
    let unavailable = |reason: &dyn std::fmt::Display| {
        let message = format!("the discovery request cannot be sent: {reason}");
        BusError::new(CellError::new(Code::Unavailable, message).retryable(), Outcome::NotRun)
    };
    if !connection.is_up() {
        return Err(unavailable(&"the connection to NATS is lost"));
    }
    let client = connection.client();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| unavailable(&error))?;
    // A body answers the ping first: then it is known which answers are still to come.
    for verb in ["$SRV.PING", "$SRV.INFO", "$SRV.STATS"] {
        let asked = client.publish_with_reply(verb, inbox.clone(), "".into()).await;
        asked.map_err(|error| unavailable(&error))?;
    }
    let mut collected = Answers::default();
    let started = Instant::now();
    let mut until = started + wait;
    while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
        if answer.status != Some(async_nats::StatusCode::NO_RESPONDERS) {
            collected.receive(&answer.payload, namespace);
        }
        until = if collected.is_whole() {
            (Instant::now() + QUIET).min(started + wait)
        } else {
            started + wait.max(limit)
        };
    }
    Ok(collected.endpoints())
}

/// Answers that have been received so far.
#[derive(Default)]
struct Answers {
    found: Endpoints,
    stats: Vec<Instance<EndpointStats>>,
    /// Service instances that have answered the ping, and not yet the question for information.
    no_info: BTreeSet<String>,
    no_stats: BTreeSet<String>,
}

impl Answers {
    fn receive(&mut self, payload: &[u8], namespace: &Namespace) {
        // What cannot be read as an answer comes from a service that is not part of CBS.
        let Ok(answer) = serde_json::from_slice::<ServiceReply>(payload) else { return };
        match answer {
            ServiceReply::Ping(ping) if ping.metadata.is_of(namespace) => {
                self.no_info.insert(ping.id.clone());
                self.no_stats.insert(ping.id);
            }
            ServiceReply::Info(info) if info.metadata.is_of(namespace) => {
                self.no_info.remove(&info.id);
                info.read(&mut self.found);
            }
            ServiceReply::Stats(stats) if stats.metadata.is_of(namespace) => {
                self.no_stats.remove(&stats.id);
                self.stats.push(stats);
            }
            _ => {}
        }
    }

    fn is_whole(&self) -> bool {
        self.no_info.is_empty() && self.no_stats.is_empty()
    }

    fn endpoints(mut self) -> Vec<Endpoint> {
        for service in self.no_info.union(&self.no_stats) {
            tracing::warn!(
                service,
                "a service did not list all its endpoints in time: some are missing here"
            );
        }
        for stats in self.stats {
            stats.add(&mut self.found);
        }
        self.found.into_values().collect()
    }
}

/// Endpoints by service instance and subject.
type Endpoints = BTreeMap<(String, String), Endpoint>;

#[derive(Deserialize)]
#[serde(tag = "type")]
enum ServiceReply {
    #[serde(rename = "io.nats.micro.v1.ping_response")]
    Ping(Ping),
    #[serde(rename = "io.nats.micro.v1.info_response")]
    Info(Instance<EndpointInfo>),
    #[serde(rename = "io.nats.micro.v1.stats_response")]
    Stats(Instance<EndpointStats>),
}

#[derive(Deserialize)]
struct Ping {
    id: String,
    metadata: InstanceMetadata,
}

#[derive(Deserialize)]
struct Instance<T> {
    id: String,
    metadata: InstanceMetadata,
    endpoints: Vec<T>,
    #[serde(default)]
    cbs_connections: Counters,
}

#[derive(Deserialize)]
struct InstanceMetadata {
    #[serde(rename = "cbs.namespace")]
    namespace: String,
    #[serde(rename = "cbs.body")]
    body: Text,
}

impl InstanceMetadata {
    fn is_of(&self, namespace: &Namespace) -> bool {
        self.namespace == namespace.as_str()
    }
}

#[derive(Deserialize)]
struct EndpointInfo {
    subject: String,
    #[serde(default)]
    metadata: BTreeMap<String, Text>,
}

#[derive(Deserialize)]
struct EndpointStats {
    subject: String,
    num_requests: u64,
    num_errors: u64,
    #[serde(default)]
    last_error: Text,
    average_processing_time: u64,
    #[serde(default)]
    data: EndpointData,
}

#[derive(Deserialize, Default)]
struct EndpointData {
    shed: u64,
    in_flight: u64,
    queued: u64,
    #[serde(default)]
    state: Text,
    #[serde(default)]
    reason: Text,
    #[serde(default)]
    restarts: u64,
    #[serde(default)]
    workers: Vec<Worker>,
    #[serde(default)]
    latency: LatencyBuckets,
    #[serde(default)]
    errors: BTreeMap<String, u64>,
}

impl Instance<EndpointInfo> {
    fn read(self, found: &mut Endpoints) {
        for endpoint in self.endpoints {
            let text = |key: &str| endpoint.metadata.get(key).cloned().unwrap_or_default();
            let Ok(target) = text("cbs.cell").parse() else { continue };
            let row = Endpoint {
                target,
                body: self.metadata.body.clone(),
                subject: endpoint.subject.clone(),
                language: text("cbs.language"),
                version: text("cbs.version"),
                revision: text("cbs.revision"),
                description: text("cbs.description"),
                input: text("cbs.input"),
                output: text("cbs.output"),
                calls: 0,
                errors: 0,
                shed: 0,
                in_flight: 0,
                queued: 0,
                mean: Duration::ZERO,
                latency: LatencyBuckets::default(),
                errors_by_code: BTreeMap::new(),
                last_error: Text::default(),
                state: Text::default(),
                reason: Text::default(),
                restarts: 0,
                workers: Vec::new(),
                connections: Counters::default(),
            };
            found.insert((self.id.clone(), endpoint.subject), row);
        }
    }
}

impl Instance<EndpointStats> {
    fn add(self, found: &mut Endpoints) {
        for stats in self.endpoints {
            let Some(row) = found.get_mut(&(self.id.clone(), stats.subject)) else { continue };
            row.calls = stats.num_requests;
            row.errors = stats.num_errors;
            row.shed = stats.data.shed;
            row.in_flight = stats.data.in_flight;
            row.queued = stats.data.queued;
            row.mean = Duration::from_nanos(stats.average_processing_time);
            row.last_error = stats.last_error;
            row.state = stats.data.state;
            row.reason = stats.data.reason;
            row.restarts = stats.data.restarts;
            row.workers = stats.data.workers;
            row.latency = stats.data.latency;
            row.errors_by_code = stats.data.errors;
            row.connections = self.cbs_connections;
        }
    }
}
