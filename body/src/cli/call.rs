//! `cbs call`: one call of a cell.

use std::time::Duration;

use cbs::{BodyId, BusError, Bytes, CellName, Envelope, Target};

use super::{Globals, input};
use crate::{
    exit::{Failure, Outcome, Status},
    output::{self, BAD, Format},
};

/// Calls a cell and prints its answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Call {
    /// The cell, for example `logic.greet`
    cell: CellName,
    /// The input as JSON; `-` reads it from standard input [default: null]
    #[arg(value_name = "JSON")]
    input: Option<String>,
    /// How long to wait for the answer
    #[arg(long, value_name = "TIME", value_parser = input::duration, default_value = "5s")]
    timeout: Duration,
    /// Call it in this one body, past the others that serve it
    #[arg(long, value_name = "ID")]
    body: Option<BodyId>,
}

impl Call {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let input = input::json(self.input.as_deref())?;
        once(globals, Target::Cell(self.cell.clone()), input, self.timeout, self.body.clone()).await
    }
}

/// Connects, calls a target once (in one body, where one is named), and prints the answer's payload as it came.
pub(super) async fn once(
    globals: &Globals,
    target: Target,
    payload: Bytes,
    timeout: Duration,
    body: Option<BodyId>,
) -> Outcome {
    let nats = globals.nats.client(&globals.namespace()).await?;
    let request = Envelope { timeout: Some(timeout), ..Envelope::request(target, payload) };
    let bus = body.clone().map_or_else(|| nats.bus(), |body| nats.in_body(body));
    let reply = bus.call(request).await;
    nats.close().await;
    match reply {
        Ok(reply) => {
            output::print_bytes(&reply.payload)?;
            Ok(Status::Done)
        }
        Err(error) => {
            let failure = failed(&error, globals.format);
            if let (Some(body), cbs::Outcome::NotRun, Format::Human) = (body, error.outcome(), globals.format) {
                output::tell(format_args!("only the body {body} was asked; `cbs ls` shows what each serves"));
            }
            Err(failure)
        }
    }
}

/// Tells an error as `code: message`, with its details below; to a program as JSON.
pub(super) fn failed(error: &BusError, format: Format) -> Failure {
    let told = error.error();
    if format == Format::Json {
        output::tell(serde_json::to_string(told).unwrap_or_default());
        return Failure { status: Status::Failed, message: String::new() };
    }
    output::tell(format_args!(
        "{BAD}{}:{BAD:#} {}",
        output::harmless(told.code.as_str()),
        output::harmless(&told.message)
    ));
    if let Some(details) = &told.details {
        output::tell(serde_json::to_string_pretty(details).unwrap_or_default());
    }
    Failure { status: Status::Failed, message: String::new() }
}
