//! Answers to `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`: the services protocol (ADR-32), from the
//! body's own counters, so that cells of every language report in the same way.
//!
//! An organ is a service, a cell its endpoint. `$SRV` knows no namespaces: outside `default`
//! a service is called `<namespace>-<organ>`.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use async_nats::Message;
use cbs::{BodyId, Namespace, Subject};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Options,
    connection::Connection,
    event::timestamp,
    link::LinkCounters,
    register::{Listing, Register, endpoint},
    subscription::Subscription,
};

/// Limit of the wait before an answer, so that the bodies of a fleet do not all answer at the same
/// moment.
const JITTER_MAX_MS: u128 = 10;

/// The services of one body.
pub(crate) struct Services {
    register: Arc<Register>,
    connection: Arc<Connection>,
    namespace: Namespace,
    body: BodyId,
    counters: Arc<LinkCounters>,
    started_ms: u64,
    tasks: TaskTracker,
    stop: CancellationToken,
    asked: Mutex<HashSet<String>>,
}

/// Service instances that a subscription answers for.
enum Asked {
    All,
    Organ(String),
    Instance(String, usize),
}

impl Services {
    pub(crate) fn new(
        register: Arc<Register>,
        connection: Arc<Connection>,
        options: &Options,
        counters: Arc<LinkCounters>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let namespace = options.namespace.clone();
        let body = options.body.clone();
        let started_ms = cbs::now_ms();
        let asked = Mutex::default();
        Self { register, connection, namespace, body, counters, started_ms, tasks, stop, asked }
    }

    /// Answers questions to all services.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), async_nats::SubscribeError> {
        self.listen("$SRV.*".to_owned(), Asked::All).await
    }

    /// Answers questions to one organ, and to each of its instances.
    pub(crate) async fn add(
        self: &Arc<Self>,
        organ: &str,
    ) -> Result<(), async_nats::SubscribeError> {
        let name = self.name(organ);
        self.listen(format!("$SRV.*.{name}"), Asked::Organ(organ.to_owned())).await?;
        for number in 0..self.register.instances(organ) {
            let id = self.id(organ, number);
            self.listen(format!("$SRV.*.{name}.{id}"), Asked::Instance(organ.to_owned(), number))
                .await?;
        }
        Ok(())
    }

    /// Subscribes once to each subject. An organ that has become empty keeps its subscription and
    /// does not answer: it may have targets again later.
    async fn listen(
        self: &Arc<Self>,
        subject: String,
        asked: Asked,
    ) -> Result<(), async_nats::SubscribeError> {
        if !self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(subject.clone()) {
            return Ok(());
        }
        let subscriber = self.connection.subscribe(subject, None).await?;
        let stop = self.stop.clone();
        let services = self.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(services.answer_all(subscriber, asked)).await
        });
        Ok(())
    }

    async fn answer_all(&self, mut questions: Subscription, asked: Asked) {
        while let Some(question) = questions.next().await {
            let jitter = cbs::Uuid::new_v4().as_u128() % JITTER_MAX_MS;
            tokio::time::sleep(Duration::from_millis(u64::try_from(jitter).unwrap_or(0))).await;
            match &asked {
                Asked::All => {
                    for organ in self.register.organs() {
                        self.answer_organ(&question, &organ).await;
                    }
                }
                Asked::Organ(organ) => self.answer_organ(&question, organ).await,
                Asked::Instance(organ, number) => self.answer(&question, organ, *number).await,
            }
        }
    }

    async fn answer_organ(&self, question: &Message, organ: &str) {
        for number in 0..self.register.instances(organ) {
            self.answer(question, organ, number).await;
        }
    }

    async fn answer(&self, question: &Message, organ: &str, number: usize) {
        let listings = self.register.instance(organ, number);
        let verb = question.subject.split('.').nth(1).unwrap_or_default();
        let (Some(reply_to), false) = (question.reply.clone(), listings.is_empty()) else { return };
        let Some(answer) = self.describe(verb, organ, number, &listings) else { return };
        let payload = answer.to_string().into_bytes();
        if let Err(error) = self.connection.client().publish(reply_to, payload.into()).await {
            tracing::warn!(organ, verb, %error, "an answer to $SRV could not be sent");
        }
    }

    fn describe(
        &self,
        verb: &str,
        organ: &str,
        number: usize,
        listings: &[Listing],
    ) -> Option<Value> {
        let mut answer = json!({
            "name": self.name(organ),
            "id": self.id(organ, number),
            "version": env!("CARGO_PKG_VERSION"),
            "metadata": { "cbs.namespace": self.namespace, "cbs.body": self.body },
        });
        let more = match verb {
            "PING" => json!({ "type": "io.nats.micro.v1.ping_response" }),
            "INFO" => json!({
                "type": "io.nats.micro.v1.info_response",
                "description": format!("organ {organ} of CBS body {}", self.body),
                "endpoints": listings.iter().map(info).collect::<Vec<_>>(),
            }),
            "STATS" => json!({
                "type": "io.nats.micro.v1.stats_response",
                "started": timestamp(self.started_ms),
                "endpoints": listings.iter().map(stats).collect::<Vec<_>>(),
                // Belongs to the body, not to the service: ADR-32 has no field for it, and readers
                // ignore it.
                "cbs_connections": self.counters.read(),
            }),
            _ => return None,
        };
        if let (Some(answer), Value::Object(more)) = (answer.as_object_mut(), more) {
            answer.extend(more);
        }
        Some(answer)
    }

    fn name(&self, organ: &str) -> String {
        if self.namespace == Namespace::default() {
            organ.to_owned()
        } else {
            format!("{}-{organ}", self.namespace)
        }
    }

    fn id(&self, organ: &str, number: usize) -> String {
        let body = &self.body;
        if number == 0 { format!("{body}-{organ}") } else { format!("{body}-{organ}-{number}") }
    }
}

fn info(listing: &Listing) -> Value {
    let target = &listing.service.target;
    let about = &listing.service.about;
    let mut metadata = serde_json::Map::new();
    for (key, value) in [
        ("cbs.cell", target.to_string().into()),
        ("cbs.language", about.language.clone()),
        ("cbs.version", about.version.clone()),
        ("cbs.revision", about.revision.clone()),
        ("cbs.description", about.description.clone()),
        ("cbs.input", about.input.0.clone()),
        ("cbs.input-hash", about.input.1.clone()),
        ("cbs.output", about.output.0.clone()),
        ("cbs.output-hash", about.output.1.clone()),
    ] {
        if !value.is_empty() {
            metadata.insert(key.to_owned(), value.as_str().into());
        }
    }
    json!({
        "name": endpoint(target),
        "subject": listing.subject.as_str(),
        "queue_group": Subject::group(target),
        "metadata": metadata,
    })
}

fn stats(listing: &Listing) -> Value {
    let target = &listing.service.target;
    let stats = &listing.service.stats;
    let (state, reason) = stats.state();
    let read = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    let calls = read(&stats.calls);
    let busy = read(&stats.busy_ns);
    json!({
        "name": endpoint(target),
        "subject": listing.subject.as_str(),
        "queue_group": Subject::group(target),
        "num_requests": calls,
        "num_errors": read(&stats.errors),
        "last_error": stats.last_error().unwrap_or_default(),
        "processing_time": busy,
        "average_processing_time": busy.checked_div(calls).unwrap_or(0),
        "data": {
            "shed": read(&stats.shed),
            "in_flight": read(&stats.in_flight),
            "queued": read(&stats.queued),
            "state": state.as_str(),
            "reason": reason.unwrap_or_default(),
            "restarts": read(&stats.restarts),
            "workers": stats.workers(),
            "waited": read(&stats.waited_ns),
            "latency": stats.latency.read(),
            "errors": stats.errors_by_code().filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>(),
        },
    })
}
