//! `cbs call`: one call of a cell.

use std::time::{Duration, Instant};

use cbs::{BodyId, BusError, Bytes, CellName, Envelope, Span, Target, Trace};
use serde_json::{Value, json};

use super::{Globals, completions, input, names, trace::FoundSpans};
use crate::{
    app::{client_span, client_span_of, ended},
    exit::{Failure, Outcome, Status},
    output::{self, BAD, FAINT, Format},
};

/// Calls a cell and prints its answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Call {
    /// The cell, for example `logic.greet`
    #[arg(add = completions::cells())]
    cell: CellName,
    /// The input as JSON; `-` reads it from standard input [default: null]
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    input: Option<String>,
    /// Time limit for the answer
    #[arg(long, value_name = "TIME", value_parser = input::duration, default_value = "5s")]
    timeout: Duration,
    /// Call it in this one body, past the others that serve it
    #[arg(long, value_name = "ID")]
    body: Option<BodyId>,
    /// Record the call in all bodies that it reaches, and show where its time went
    #[arg(long)]
    trace: bool,
}

/// A call that is to be made.
pub(super) struct Once {
    pub(super) target: Target,
    pub(super) payload: Bytes,
    pub(super) timeout: Duration,
    /// The one body that receives the call; `None` for any body.
    pub(super) body: Option<BodyId>,
    /// True if the call is traced, and its trace is shown.
    pub(super) trace: bool,
}

impl Call {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let once = Once {
            target: Target::Cell(self.cell.clone()),
            payload: input::json(self.input.as_deref())?,
            timeout: self.timeout,
            body: self.body.clone(),
            trace: self.trace,
        };
        once.run(globals).await
    }
}

impl Once {
    /// Connects, calls the target once (in one body, if one is named), and prints the answer's
    /// payload unchanged.
    pub(super) async fn run(self, globals: &Globals) -> Outcome {
        let Self { target, payload, timeout, body, trace } = self;
        let nats = globals.nats.client_within(&globals.namespace(), timeout).await?;
        let mut request =
            Envelope { timeout: Some(timeout), ..Envelope::request(target.clone(), payload) };
        let mut own = trace.then(|| root(&mut request)).flatten();
        let id = request.id;
        let bus = body.clone().map_or_else(|| nats.bus(), |body| nats.in_body(body));
        let began = Instant::now();
        let reply = bus.call(request).await;
        let found = match &mut own {
            Some(span) => {
                ended(span, &reply, began.elapsed());
                Some(FoundSpans::collect(&nats, id).await)
            }
            None => None,
        };
        let hint = match &reply {
            Err(error)
                if body.is_none()
                    && globals.format == Format::Human
                    && names::is_missing(error) =>
            {
                let namespace = globals.namespace();
                names::hint(&target, &names::known(&nats, &namespace).await)
            }
            _ => None,
        };
        nats.close().await;
        let found = found.zip(own).map(|(found, own)| {
            found.map(|mut found| {
                found.add(own);
                found
            })
        });
        match globals.format {
            Format::Json => told_json(reply, found),
            Format::Human => report_outcome(reply, found, (body.as_ref(), hint), id),
        }
    }
}

/// Makes a request the root of a recorded trace. Returns the caller's own span of it.
fn root(request: &mut Envelope) -> Option<Span> {
    let trace_id = request.correlation().into_bytes();
    let span_id = client_span_of(request.id, request.attempt);
    let trace = Trace { trace_id, span_id, flags: 0 }.sampled();
    request.foreign_trace = Some(trace);
    Some(client_span(request, request.target.clone()?, trace, None))
}

type Traced = Option<Result<FoundSpans, BusError>>;

/// Writes the answer to standard output, and the rest to standard error.
fn report_outcome(
    reply: Result<Envelope, BusError>,
    found: Traced,
    (body, hint): (Option<&BodyId>, Option<String>),
    id: cbs::Uuid,
) -> Outcome {
    let outcome = match reply {
        Ok(reply) => {
            output::print_bytes(&reply.payload)?;
            Ok(Status::Done)
        }
        Err(error) => {
            let failure = failed(&error, Format::Human);
            let not_run = error.outcome() == cbs::Outcome::NotRun;
            hint.into_iter().for_each(output::report);
            if let (Some(body), true) = (body, not_run) {
                output::report(format_args!(
                    "only the body {body} was asked; `cbs ls` shows what each serves"
                ));
            }
            // The body that ran or refused the call has its trace; without a body there is none.
            if found.is_none() && !names::is_missing(&error) {
                output::report(format_args!(
                    "{FAINT}where its time went: cbs trace {}{FAINT:#}",
                    id.simple()
                ));
            }
            Err(failure)
        }
    };
    match found {
        Some(Ok(found)) => {
            found.tell_gaps();
            output::report(found.text(true, output::width_of_errors()));
        }
        Some(Err(error)) => {
            output::warn(format_args!(
                "the trace cannot be shown: {}",
                output::sanitize(&error.to_string())
            ));
        }
        None => {}
    }
    outcome
}

/// Writes the answer unchanged; or the answer and its trace as one object.
fn told_json(reply: Result<Envelope, BusError>, found: Traced) -> Outcome {
    let trace = found.map(|found| {
        found.map_or_else(|error| json!({ "error": error.error() }), |found| found.json())
    });
    match (reply, trace) {
        (Ok(reply), None) => output::print_bytes(&reply.payload)?,
        (Ok(reply), Some(trace)) => {
            let payload = serde_json::from_slice(&reply.payload).unwrap_or_else(|_| {
                Value::from(String::from_utf8_lossy(&reply.payload).into_owned())
            });
            output::print_json(&json!({ "reply": payload, "trace": trace }))?;
        }
        (Err(error), None) => return Err(failed(&error, Format::Json)),
        (Err(error), Some(trace)) => {
            output::report(json!({ "error": error.error(), "trace": trace }));
            return Err(Failure { status: Status::Failed, message: String::new() });
        }
    }
    Ok(Status::Done)
}

/// Formats an error as `code: message`, with its details below, or as JSON for a program.
pub(super) fn failed(error: &BusError, format: Format) -> Failure {
    let error = error.error();
    if format == Format::Json {
        output::report(serde_json::to_string(error).unwrap_or_default());
        return Failure { status: Status::Failed, message: String::new() };
    }
    output::report(format_args!(
        "{BAD}{}:{BAD:#} {}",
        output::sanitize(error.code.as_str()),
        output::sanitize(&error.message)
    ));
    if let Some(details) = &error.details {
        output::report(serde_json::to_string_pretty(details).unwrap_or_default());
    }
    Failure { status: Status::Failed, message: String::new() }
}
