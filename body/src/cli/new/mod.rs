//! `cbs new`: writes the first version of a cell or a flow, and never over an existing file.

mod cell;
mod checkout;
mod files;
mod flow;
mod language;
mod workspace;

use std::path::PathBuf;

use cbs::{CellName, FlowName};
use clap::Subcommand;

use self::language::Language;
use crate::{
    exit::{Outcome, Status},
    output::{self, Format},
};

/// Writes a new cell or flow that runs as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Writes cells/<organ>_<cell>/, specs/cells/<name>.yaml and the schema of its input
    Cell {
        /// The name, for example `logic.shout`
        name: CellName,
        /// The language
        #[arg(long, value_enum)]
        lang: Language,
        /// The folder that has, or gets, `cells/` and `specs/`
        #[arg(long, value_name = "DIR", default_value = ".")]
        path: PathBuf,
        /// A checkout of CBS [default: the one that DIR is in, else the one that this program was
        /// built from]
        #[arg(long, value_name = "DIR")]
        cbs: Option<PathBuf>,
    },
    /// Writes specs/flows/<name>.yaml, and the spec of the cell that it calls where there is none
    Flow {
        /// The name, for example `order`
        name: FlowName,
        /// The folder that has, or gets, `specs/`
        #[arg(long, value_name = "DIR", default_value = ".")]
        path: PathBuf,
    },
}

impl New {
    pub(crate) fn run(&self, format: Format) -> Outcome {
        let next = match &self.what {
            What::Cell { name, lang, path, cbs } => cell::write(name, *lang, path, cbs.as_deref()),
            What::Flow { name, path } => flow::write(name, path),
        }?;
        output::report("next:");
        match format {
            Format::Json => output::print_json(&serde_json::json!({ "next": next }))?,
            Format::Human => output::print(next)?,
        }
        Ok(Status::Done)
    }
}
