//! `cbs completions`: what a shell needs to complete commands.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{
    exit::{Outcome, Status},
    output,
};

/// Prints the completions of a shell, for example for `source <(cbs completions bash)`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "cbs", &mut script);
        output::print_bytes(script.trim_ascii_end())?;
        Ok(Status::Done)
    }
}
