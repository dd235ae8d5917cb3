//! `cbs flow run`: one run of a flow.

use std::time::Duration;

use cbs::{FlowName, Target};
use clap::Subcommand;

use super::{Globals, call::Once, completions, input};
use crate::exit::Outcome;

/// Runs flows.
#[derive(Debug, clap::Args)]
pub(crate) struct Flow {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a flow on a body that hosts it, and prints its answer
    Run {
        /// The flow, for example `greeting`
        #[arg(add = completions::flows())]
        flow: FlowName,
        /// The input as JSON; `-` reads it from standard input [default: null]
        #[arg(value_name = "JSON", allow_negative_numbers = true)]
        input: Option<String>,
        /// Time limit for the answer
        #[arg(long, value_name = "TIME", value_parser = input::duration, default_value = "1m")]
        timeout: Duration,
        /// Record the run in all bodies that it reaches, and show where its time went
        #[arg(long)]
        trace: bool,
    },
}

impl Flow {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let Command::Run { flow, input, timeout, trace } = &self.command;
        let input = input::json(input.as_deref())?;
        let target = Target::Flow(flow.clone());
        Once { target, payload: input, timeout: *timeout, body: None, trace: *trace }
            .run(globals)
            .await
    }
}
