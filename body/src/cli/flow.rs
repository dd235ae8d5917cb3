//! `cbs flow run`: one run of a flow.

use std::time::Duration;

use cbs::{FlowName, Target};
use clap::Subcommand;

use super::{Globals, call, input};
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
        flow: FlowName,
        /// The input as JSON; `-` reads it from standard input [default: null]
        #[arg(value_name = "JSON")]
        input: Option<String>,
        /// How long to wait for the answer
        #[arg(long, value_name = "TIME", value_parser = input::duration, default_value = "1m")]
        timeout: Duration,
    },
}

impl Flow {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let Command::Run { flow, input, timeout } = &self.command;
        let input = input::json(input.as_deref())?;
        call::once(globals, Target::Flow(flow.clone()), input, *timeout, None).await
    }
}
