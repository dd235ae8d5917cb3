//! `cbs check`: checks specs, offline.

use spec::Diagnostics;

use crate::{
    exit::{Failure, Outcome, Status},
    output::{self, Format, GOOD},
    specs,
};

/// Checks specs offline and reports every mistake with its place.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    paths: specs::Paths,
}

impl Check {
    pub(crate) fn run(&self, format: Format) -> Outcome {
        match self.paths.load() {
            Ok(specs) => {
                well(&specs, format)?;
                Ok(Status::Done)
            }
            Err(spec::Error::Mistakes(mistakes)) => {
                wrong(&mistakes, format)?;
                Ok(Status::Failed)
            }
            Err(error @ spec::Error::Paths(_)) => Err(Failure::not_started(error)),
        }
    }
}

fn well(specs: &spec::Specs, format: Format) -> std::io::Result<()> {
    if format == Format::Json {
        return output::print("[]");
    }
    let cells = output::count(specs.cells().len(), "cell", "cells");
    let flows = output::count(specs.flows().len(), "flow", "flows");
    let files = output::count(specs.files().len(), "file", "files");
    output::print(format_args!("{GOOD}ok:{GOOD:#} {cells} and {flows} in {files}"))
}

fn wrong(mistakes: &Diagnostics, format: Format) -> std::io::Result<()> {
    match format {
        Format::Json => output::print_json(mistakes),
        Format::Human => output::print(format_args!("{}\n\n{}", specs::report(mistakes), specs::found(mistakes))),
    }
}
