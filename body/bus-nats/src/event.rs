//! Events as CloudEvents in binary mode
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md>),
//! so that any NATS client can read them and publish them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use async_nats::{Client, HeaderMap, Message, Subject};
use cbs::{
    BoxFuture, BusError, Delivery, Envelope, EventStream, Kind, Namespace, Outcome, Target, Text,
    Topic, Trace, Uuid, frame,
};
use futures::StreamExt;
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    message::{CONTENT_TYPE_HEADER, Form, TRACESTATE_BYTES_MAX, form_of, headers_len, one_line},
    subscription::Subscription,
};

/// Limit of the events that wait for one subscriber. More are missed, and counted.
const QUEUE: usize = 1_024;
/// Limit of the payload bytes that wait for one subscriber.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// Publishes an event on its topic's subject.
pub(crate) async fn publish(
    client: &Client,
    namespace: &Namespace,
    event: Envelope,
) -> Result<(), BusError> {
    let target = event.target()?.clone();
    if !matches!(target, Target::Topic(_)) {
        return Err(BusError::bad_request(format!("an event goes to a topic, not to {target}")));
    }
    check_keys(&event)?;
    let subject = Subject::from(String::from(cbs::Subject::of(namespace, &target)));
    event.check_attributes().map_err(|error| BusError::new(error, Outcome::NotRun))?;
    let headers = headers(namespace, &target, &event);
    let bytes = event.payload.len() + headers_len(&headers);
    let limit = client.max_payload();
    if bytes > limit {
        return Err(BusError::too_large(&target, bytes, limit));
    }
    let sent = client.publish_with_headers(subject, headers, event.payload).await;
    sent.map_err(|error| BusError::unavailable(&target, error))
}

/// Checks the keys of attributes. Each becomes the name of a header, and the client panics on an
/// invalid name.
fn check_keys(event: &Envelope) -> Result<(), BusError> {
    let named = |key: &str| {
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
    };
    let wrong = event.attributes.iter().find(|(key, _)| !named(key));
    wrong.map_or(Ok(()), |(key, _)| {
        let message = format!(
            "`{}` is no key of an event's attribute: write letters and digits",
            one_line(key)
        );
        Err(BusError::bad_request(message))
    })
}

fn headers(namespace: &Namespace, target: &Target, event: &Envelope) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            headers.insert(name, cbs::sanitize(value).as_str());
        }
    };
    put("ce-specversion", "1.0");
    put("ce-id", &event.id.to_string());
    put("ce-type", target.name());
    put("ce-source", &format!("/cbs/{namespace}/{}", event.source.body));
    put("ce-time", &event.sent_ms().map(timestamp).unwrap_or_default());
    put("ce-dataschema", &event.schema);
    put("ce-cbscell", &event.source.cell);
    put("ce-correlationid", &event.correlation_id.map(|id| id.to_string()).unwrap_or_default());
    put("ce-causationid", &event.causation_id.map(|id| id.to_string()).unwrap_or_default());
    put("traceparent", &event.trace().to_string());
    put("tracestate", &event.tracestate);
    for (key, value) in &event.attributes {
        put(&format!("ce-x{}", key.to_ascii_lowercase()), value);
    }
    put(CONTENT_TYPE_HEADER, event.content_type());
    headers
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
pub(crate) fn timestamp(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}

/// Reads an event as it arrived. Returns `None` for a frame that cannot be read.
fn read(message: &Message, prefix: usize) -> Option<Envelope> {
    let topic = message.subject.get(prefix..)?.parse::<Topic>().ok()?;
    let mut event = match form_of(message) {
        Form::Framed => frame::decode(message.payload.clone()).ok()?,
        Form::Plain => read_plain(message),
    };
    event.kind = Kind::Event;
    event.target = Some(Target::Topic(topic));
    Some(event)
}

fn read_plain(message: &Message) -> Envelope {
    let mut event = Envelope { payload: message.payload.clone(), ..Envelope::default() };
    let headers = message.headers.clone().unwrap_or_default();
    let text =
        |name: &str| headers.get(name).map(|value| Text::from(value.as_str())).unwrap_or_default();
    let id = |name: &str| text(name).parse::<Uuid>().ok();
    event.id = id("ce-id").unwrap_or_else(Uuid::now_v7);
    event.correlation_id = id("ce-correlationid");
    event.causation_id = id("ce-causationid");
    event.schema = text("ce-dataschema");
    event.source.cell = text("ce-cbscell");
    event.foreign_trace =
        Trace::parse(&text("traceparent")).filter(|trace| *trace != event.trace());
    event.tracestate =
        Some(text("tracestate")).filter(|it| it.len() <= TRACESTATE_BYTES_MAX).unwrap_or_default();
    let source = text("ce-source");
    match source.strip_prefix("/cbs/").and_then(|rest| rest.split_once('/')) {
        Some((_, body)) => event.source.body = body.into(),
        None if !source.is_empty() => event.attributes.push(("ce-source".into(), source)),
        None => {}
    }
    if id("ce-id").is_none() && !text("ce-id").is_empty() {
        event.attributes.push(("ce-id".into(), text("ce-id")));
    }
    let content_type = text(CONTENT_TYPE_HEADER);
    if content_type != cbs::CONTENT_TYPE_DEFAULT {
        event.content_type = content_type;
    }
    for (name, values) in headers.iter() {
        if let (Some(key), Some(value)) = (name.to_string().strip_prefix("ce-x"), values.first()) {
            event.attributes.push((key.into(), value.as_str().into()));
        }
    }
    // Headers have no fixed order.
    event.attributes.sort();
    event
}

/// Events of one subscription. A task moves them from the client's buffer, which drops messages
/// without an error, into a queue that counts the events it cannot take.
pub(crate) struct EventsNats {
    queue: mpsc::Receiver<Envelope>,
    backlog: Arc<Backlog>,
    _stop: tokio_util::sync::DropGuard,
}

/// Size of what waits in one subscription's queue, and number of missed events.
#[derive(Default)]
struct Backlog {
    bytes: AtomicUsize,
    missed: AtomicU64,
    /// Wakes a subscriber that waits while its queue is empty.
    more_missed: Notify,
}

impl Backlog {
    /// Puts an event into the queue if it has capacity. Returns true if it was put there.
    fn take(&self, event: Envelope, queue: &mpsc::Sender<Envelope>) -> bool {
        let bytes = event.payload.len();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let taken = before + bytes <= QUEUE_BYTES && queue.try_send(event).is_ok();
        if !taken {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    fn miss(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
        self.more_missed.notify_one();
    }
}

impl EventsNats {
    /// Reads a subscription whose subjects begin with `prefix` bytes before the topic.
    pub(crate) fn start(
        mut subscriber: Subscription,
        prefix: usize,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        let backlog = Arc::new(Backlog::default());
        let stop = stop.child_token();
        tasks.spawn({
            let (backlog, stop) = (backlog.clone(), stop.clone());
            async move {
                while let Some(Some(message)) = stop.run_until_cancelled(subscriber.next()).await {
                    let event = read(&message, prefix);
                    if event.is_none() {
                        tracing::warn!(subject = %message.subject, "an event that cannot be read was passed over");
                    }
                    if !event.is_some_and(|event| backlog.take(event, &sender)) {
                        backlog.miss();
                    }
                }
            }
        });
        Self { queue, backlog, _stop: stop.drop_guard() }
    }
}

impl EventStream for EventsNats {
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>> {
        Box::pin(async {
            loop {
                match self.backlog.missed.swap(0, Ordering::Relaxed) {
                    0 => {}
                    missed => return Some(Delivery::Missed(missed)),
                }
                tokio::select! {
                    biased;
                    event = self.queue.recv() => {
                        let event = event?;
                        self.backlog.bytes.fetch_sub(event.payload.len(), Ordering::Relaxed);
                        return Some(Delivery::Event(Box::new(event)));
                    }
                    () = self.backlog.more_missed.notified() => {}
                }
            }
        })
    }
}
