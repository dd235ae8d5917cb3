//! Discovery as a client: who serves what, asked by the services protocol (ADR-32).

use std::{collections::BTreeMap, time::Duration};

use cbs::{BusError, CellError, Code, Namespace, Outcome, Target, Text, Times, Worker};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::{Counters, connection::Connection, control::QUIET};

/// One served target in one body, as its body tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Endpoint {
    /// What is served, for example `cell logic.greet`.
    #[serde(serialize_with = "display")]
    pub target: Target,
    /// The body that serves it.
    pub body: Text,
    /// The subject that it answers on.
    pub subject: String,
    /// The language that it is written in.
    pub language: Text,
    /// Its version; empty: not told.
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
    /// How long its calls took, by bucket: microseconds, four buckets to a doubling.
    pub latency: Times,
    /// Errors by the kind of their code.
    pub errors_by_code: BTreeMap<String, u64>,
    /// The last error's one line; empty: none yet.
    pub last_error: Text,
    /// Where it is in its life: `ready`, `restarting`, …; empty: not told.
    pub state: Text,
    /// Why it is not ready; empty: it is, or nobody told.
    pub reason: Text,
    /// How often it was started again.
    pub restarts: u64,
    /// How the lanes or processes fare that run it; none for what runs in the body itself.
    pub workers: Vec<Worker>,
    /// What went wrong on the connections of its body.
    pub connections: Counters,
}

fn display<S: serde::Serializer>(value: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn micros<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_secs_f64() * 1e6)
}

/// Asks all services of a namespace what they serve and how it goes, for `wait` at the most.
pub(crate) async fn discover(
    connection: &Connection,
    namespace: &Namespace,
    wait: Duration,
) -> Result<Vec<Endpoint>, BusError> {
    let unavailable = |reason: &dyn std::fmt::Display| {
        let message = format!("the services cannot be asked: {reason}");
        BusError::new(CellError::new(Code::Unavailable, message).retryable(), Outcome::NotRun)
    };
    if !connection.is_up() {
        return Err(unavailable(&"the connection to NATS is lost"));
    }
    let client = connection.client();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| unavailable(&error))?;
    for verb in ["$SRV.INFO", "$SRV.STATS"] {
        let asked = client.publish_with_reply(verb, inbox.clone(), "".into()).await;
        asked.map_err(|error| unavailable(&error))?;
    }
    let mut found = BTreeMap::new();
    let mut stats = Vec::new();
    let deadline = tokio::time::Instant::now() + wait;
    let mut patience = wait;
    while let Ok(Some(answer)) =
        tokio::time::timeout_at(deadline.min(tokio::time::Instant::now() + patience), answers.next()).await
    {
        patience = QUIET;
        if answer.status == Some(async_nats::StatusCode::NO_RESPONDERS) {
            continue;
        }
        // What does not read as an answer comes from a service that is none of ours.
        match serde_json::from_slice(&answer.payload) {
            Ok(Answer::Info(info)) if info.metadata.namespace == namespace.as_str() => info.read(&mut found),
            Ok(Answer::Stats(answer)) => stats.push(answer),
            _ => {}
        }
    }
    for answer in stats {
        answer.add(&mut found);
    }
    Ok(found.into_values().collect())
}

/// Endpoints by service instance and subject.
type Found = BTreeMap<(String, String), Endpoint>;

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Answer {
    #[serde(rename = "io.nats.micro.v1.info_response")]
    Info(Instance<EndpointInfo>),
    #[serde(rename = "io.nats.micro.v1.stats_response")]
    Stats(Instance<EndpointStats>),
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
    latency: Times,
    #[serde(default)]
    errors: BTreeMap<String, u64>,
}

impl Instance<EndpointInfo> {
    fn read(self, found: &mut Found) {
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
                latency: Times::default(),
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
    fn add(self, found: &mut Found) {
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
