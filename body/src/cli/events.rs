//! `cbs events`: the events on the bus, as they are published.

use bus_nats::Nats;
use cbs::{Delivery, Envelope, Subscription, TopicFilter};
use serde_json::{Value, json};

use super::{Globals, call};
use crate::{
    exit::{Failure, Outcome, Status},
    output::{self, BAD, FAINT, Format, GOOD, WARNING},
    signals::Signals,
};

/// Follows events: those that bodies publish about themselves and their cells, or other topics.
///
/// Bodies publish `cbs.cell.ready`, `.restarting`, `.failed`, `.stopped` and `.replaced`, and
/// `cbs.body.joined`, `.draining` and `.left`. Nothing is kept: who listens later hears only
/// what comes later.
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Which topics: `order.created`, `order.*` or `order.>` [default: cbs.>]
    filter: Option<TopicFilter>,
}

impl Events {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let filter = match &self.filter {
            Some(filter) => filter.clone(),
            None => TopicFilter::new("cbs.>").map_err(Failure::failed)?,
        };
        let mut signals = Signals::new()?;
        let nats = globals.nats.client(&globals.namespace()).await?;
        let outcome = tokio::select! {
            outcome = follow(&nats, filter, globals) => outcome,
            // A signal ends the command: it has no end of its own.
            _ = signals.next() => Ok(Status::Done),
        };
        nats.close().await;
        outcome
    }
}

async fn follow(nats: &Nats, filter: TopicFilter, globals: &Globals) -> Outcome {
    let wanted = Subscription { filter: filter.clone(), group: None };
    let mut events =
        nats.bus().subscribe(wanted).await.map_err(|error| call::failed(&error, globals.format))?;
    output::report(format_args!(
        "{FAINT}following {filter} in the namespace {}{FAINT:#}",
        globals.namespace()
    ));
    while let Some(received) = events.next().await {
        match received {
            Delivery::Event(event) => {
                let read = match globals.format {
                    Format::Json => output::print_on(document(&event))?,
                    Format::Human => output::print_on(line(&event))?,
                };
                // `cbs events | head -1` ends with its reader.
                if !read {
                    return Ok(Status::Done);
                }
            }
            Delivery::Missed(count) => {
                let missed = output::count(
                    usize::try_from(count).unwrap_or(usize::MAX),
                    "event was",
                    "events were",
                );
                output::warn(format_args!(
                    "{missed} missed: they came faster than they could be shown"
                ));
            }
        }
    }
    Err(Failure::failed("the connection has been closed"))
}

/// Formats an event as JSON on one line. A payload that is not JSON becomes a text.
fn document(event: &Envelope) -> Value {
    let payload = serde_json::from_slice(&event.payload)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&event.payload).into_owned()));
    json!({
        "topic": topic(event),
        "time": event.sent_ms().map(output::moment),
        "id": event.id.to_string(),
        "body": event.source.body.as_str(),
        "source": event.source.cell.as_str(),
        "payload": payload,
    })
}

/// Formats an event on one line for a person.
fn line(event: &Envelope) -> String {
    let moment = output::moment(event.sent_ms().unwrap_or_else(cbs::now_ms));
    let time = moment.get(11..23).unwrap_or(&moment);
    let topic = topic(event);
    let text = described(topic, &event.payload).unwrap_or_else(|| {
        format!("{topic} {}", output::sanitize(&String::from_utf8_lossy(&event.payload)))
    });
    format!("{FAINT}{time}{FAINT:#} {text}")
}

fn topic(event: &Envelope) -> &str {
    event.target.as_ref().map_or("", |target| target.name())
}

/// Describes an event of a body; `None` for the events of other publishers.
fn described(topic: &str, payload: &[u8]) -> Option<String> {
    let state = topic.strip_prefix("cbs.cell.").or_else(|| topic.strip_prefix("cbs.body."))?;
    let payload: Value = serde_json::from_slice(payload).ok()?;
    let text = |field: &str| payload.get(field).and_then(Value::as_str).map(output::sanitize);
    let style = match state {
        "ready" | "replaced" | "joined" => GOOD,
        "failed" => BAD,
        "restarting" => WARNING,
        _ => FAINT,
    };
    let body = text("body")?;
    let what = match (text("cell"), text("revision")) {
        (Some(cell), Some(revision)) => format!("{cell} in {body} ({revision})"),
        _ => format!("body {body}"),
    };
    let reason = text("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(format!("{what} {style}{state}{style:#}{reason}"))
}
