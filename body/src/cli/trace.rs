//! `cbs trace`: the times of a call in all bodies that took part in it.

mod show;
mod tree;

use std::{collections::BTreeMap, time::Duration};

use bus_nats::Nats;
use cbs::{BodyId, BusError, Side, Span, Uuid};
use serde_json::{Value, json};

use self::tree::Tree;
use super::{Globals, call};
use crate::{
    exit::{Failure, Outcome, Status},
    output::{self, Format},
    telemetry::{ASK_TRACE, SpanMemory, TraceReport},
};

/// Time that bodies have to answer.
const WAIT: Duration = Duration::from_secs(2);
/// Limit of the traces that one id may belong to. A request's id belongs to one, unless it was
/// forged.
const TRACES_MAX: usize = 4;

/// Shows a recorded trace: what called what, in which body, and where the time went.
///
/// Bodies keep the spans of the traces that they sample (`--trace-ratio` of `cbs up`), and of
/// all calls that fail or are slow; `cbs call --trace` and `cbs flow run --trace` record their
/// call whatever the ratio is.
#[derive(Debug, clap::Args)]
pub(crate) struct Trace {
    /// The trace: 32 hexadecimal digits; or the id of any of its requests, as logs tell it
    #[arg(value_parser = id)]
    id: Uuid,
    /// Show what cells said about their calls, too
    #[arg(long, short)]
    verbose: bool,
}

/// Reads an id with or without its dashes.
fn id(text: &str) -> Result<Uuid, String> {
    text.trim()
        .parse()
        .map_err(|_| "write 32 hexadecimal digits, with or without dashes".to_owned())
}

impl Trace {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let nats = globals.nats.client(&globals.namespace()).await?;
        let found = FoundSpans::collect(&nats, self.id).await;
        nats.close().await;
        let found = found.map_err(|error| call::failed(&error, globals.format))?;
        if found.spans.is_empty() {
            return Err(Failure::failed(found.nothing(self.id)));
        }
        match globals.format {
            Format::Json => output::print_json(&found.json())?,
            Format::Human => {
                found.tell_gaps();
                output::print(found.text(self.verbose, output::width()))?;
            }
        }
        Ok(Status::Done)
    }
}

/// Converts a share to percent, without the rounding errors of floating point: 0.07 gives 7.
fn per_hundred(ratio: f64) -> f64 {
    (ratio * 1e8).round() / 1e6
}

/// Spans of a trace that the bodies of a namespace have.
#[derive(Debug, Default)]
pub(super) struct FoundSpans {
    spans: Vec<Span>,
    /// Number of spans for which the answers had no space.
    left_out: usize,
    kept: BTreeMap<BodyId, SpanMemory>,
    /// Bodies that could not report, with the reason.
    silent: Vec<(BodyId, String)>,
}

impl FoundSpans {
    /// Asks all bodies, and collects their spans.
    ///
    /// # Errors
    /// `unavailable` if the server cannot be asked.
    pub(super) async fn collect(nats: &Nats, id: Uuid) -> Result<Self, BusError> {
        let mut found = Self::default();
        found.ask(nats, id).await?;
        let mut others: Vec<_> = found.spans.iter().map(|span| span.trace.trace_id).collect();
        others.sort_unstable();
        others.dedup();
        // The spans that were found by a request's id have the trace's id.
        for trace in others.into_iter().filter(|trace| *trace != id.into_bytes()).take(TRACES_MAX) {
            (found.silent, found.left_out) = (Vec::new(), 0);
            found.ask(nats, Uuid::from_bytes(trace)).await?;
        }
        found.settle();
        Ok(found)
    }

    async fn ask(&mut self, nats: &Nats, id: Uuid) -> Result<(), BusError> {
        let question = json!({ "ask": ASK_TRACE, "id": id.simple().to_string() });
        for (body, answer) in nats.ask_all(&question, WAIT).await? {
            let reported = answer.map_err(|error| error.message).and_then(|answer| {
                serde_json::from_value::<TraceReport>(answer)
                    .map_err(|error| format!("its answer cannot be read: {error}"))
            });
            match reported {
                Ok(reported) => {
                    self.spans.extend(reported.spans);
                    self.left_out += reported.left_out;
                    self.kept.insert(body, reported.kept);
                }
                Err(reason) => self.silent.push((body, reason)),
            }
        }
        Ok(())
    }

    /// Adds a span that no body has: the caller's own.
    pub(super) fn add(&mut self, span: Span) {
        self.spans.push(span);
        self.settle();
    }

    /// Keeps each span once, the oldest first. Of spans that began at the same time, the caller's
    /// comes first.
    fn settle(&mut self) {
        self.spans
            .sort_by_key(|span| (span.began_ns, span.side == Side::Server, span.trace.span_id));
        let mut seen = std::collections::HashSet::new();
        self.spans.retain(|span| seen.insert((span.trace.trace_id, span.trace.span_id)));
    }

    /// Formats the trace for a person.
    pub(super) fn text(&self, verbose: bool, width: usize) -> String {
        show::text(&Tree::of(&self.spans), verbose, width)
    }

    /// Formats the trace for a program.
    pub(super) fn json(&self) -> Value {
        let traces: std::collections::BTreeSet<_> =
            self.spans.iter().map(|span| span.trace.id().to_string()).collect();
        json!({
            "trace": traces.first(),
            "spans": self.spans.iter().map(show::document).collect::<Vec<_>>(),
            "left_out": self.left_out,
            "silent": self.silent.iter().map(|(body, reason)| json!({ "body": body, "reason": reason })).collect::<Vec<_>>(),
        })
    }

    /// Warns of spans that may be missing.
    pub(super) fn tell_gaps(&self) {
        if self.left_out > 0 {
            let spans = output::count(self.left_out, "span", "spans");
            output::warn(format_args!(
                "{spans} did not fit into an answer: the tree is incomplete"
            ));
        }
        for (body, reason) in &self.silent {
            output::warn(format_args!("{body} did not answer: {}", output::sanitize(reason)));
        }
    }

    /// Returns the reason why there is nothing to show.
    fn nothing(&self, id: Uuid) -> String {
        let mut lines = vec![format!("no body has a span of {}", id.simple())];
        for (body, kept) in &self.kept {
            let since = kept.since_ms.map_or_else(
                || "nothing yet".to_owned(),
                |since| {
                    format!(
                        "{} since {}",
                        output::count(usize::try_from(kept.spans).unwrap_or(0), "span", "spans"),
                        output::moment(since)
                    )
                },
            );
            lines.push(format!(
                "  {body} keeps {since}; at most {} and {} MiB, of {} of 100 traces, and of calls that fail or are slow",
                kept.spans_max,
                kept.bytes_max / (1024 * 1024),
                per_hundred(kept.ratio),
            ));
        }
        for (body, reason) in &self.silent {
            lines.push(format!("  {body}: {}", output::sanitize(reason)));
        }
        if self.kept.is_empty() && self.silent.is_empty() {
            lines.push("  no body answered; `cbs ls` shows which run".to_owned());
        }
        lines.push(
            "to record a call: `cbs call --trace`, `cbs flow run --trace`, or `cbs up --trace-ratio 1`".to_owned(),
        );
        lines.join("\n")
    }
}
