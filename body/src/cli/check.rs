//! `cbs check`: checks specs, offline.

use std::{path::PathBuf, sync::Arc};

use model::CellSpec;
use serde::Serialize;
use spec::{Diagnostic, Diagnostics};

use crate::{
    exit::{Failure, Outcome, Status},
    output::{self, BOLD, Format, GOOD},
    specs,
};

/// A mistake in the code of a cell, with the fields that a mistake in a spec has.
#[derive(Debug, Serialize)]
struct Wrong {
    code: &'static str,
    message: String,
    hint: Option<String>,
    file: PathBuf,
    line: usize,
    column: usize,
}

/// A mistake of either kind, in the form for programs.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Mistake<'a> {
    Spec(&'a Diagnostic),
    Source(&'a Wrong),
}

/// Checks specs, and the code of Python cells without running it, offline; reports every mistake
/// with its place.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    paths: specs::Paths,
}

impl Check {
    pub(crate) fn run(&self, format: Format) -> Outcome {
        match self.paths.load() {
            Ok(specs) => {
                specs::tell_notes(specs.notes());
                let wrong = sources(specs.cells());
                if wrong.is_empty() {
                    well(&specs, format)?;
                    return Ok(Status::Done);
                }
                match format {
                    Format::Json => output::print_json(&wrong)?,
                    Format::Human => output::print(listed(&wrong))?,
                }
                Ok(Status::Failed)
            }
            Err(spec::Error::Mistakes(mistakes)) => {
                specs::tell_notes(mistakes.notes());
                report(&mistakes, &sources(mistakes.cells()), format)?;
                Ok(Status::Failed)
            }
            Err(error @ spec::Error::Paths(_)) => Err(Failure::not_started(error)),
        }
    }
}

/// Checks the code that specs name, as far as that is possible without running it.
#[cfg(feature = "python")]
fn sources<'a>(cells: impl Iterator<Item = &'a Arc<CellSpec>>) -> Vec<Wrong> {
    let check = |spec: &CellSpec| {
        let model::Runtime::Python(python) = &spec.runtime else { return None };
        let message =
            host_python::check_source(&python.file, &python.function, &spec.name).err()?;
        Some(Wrong::at(python.file.clone(), &message))
    };
    cells.filter_map(|spec| check(spec)).collect()
}

/// Returns nothing: this program hosts no Python, so it cannot read any.
#[cfg(not(feature = "python"))]
fn sources<'a>(_: impl Iterator<Item = &'a Arc<CellSpec>>) -> Vec<Wrong> {
    Vec::new()
}

#[cfg(feature = "python")]
impl Wrong {
    /// Makes a mistake from a message that begins with `<file>:<line>: ` or with a file. Any other
    /// message is about the file `file`.
    fn at(file: PathBuf, message: &str) -> Self {
        let location = message.split_once(": ").and_then(|(location, said)| {
            let numbered =
                location.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
            let (named, line) = numbered.unwrap_or((location, 1));
            let named = PathBuf::from(named);
            (named == file || named.is_file()).then_some((named, line, said))
        });
        let (file, line, said) = location.unwrap_or((file, 1, message));
        let (message, hint) = match said.split_once("; ") {
            Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
            None => (said.to_owned(), None),
        };
        Self { code: "python-source", message, hint, file, line, column: 1 }
    }
}

fn listed(wrong: &[Wrong]) -> String {
    let line = |wrong: &Wrong| {
        let location = format!("{}:{}", wrong.file.display(), wrong.line);
        let hint = wrong.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        format!("{BOLD}{location}: {} [{}]{BOLD:#}{hint}", wrong.message, wrong.code)
    };
    let mistakes = output::count(wrong.len(), "mistake", "mistakes");
    format!(
        "{}\n\n{mistakes} in the code of cells",
        wrong.iter().map(line).collect::<Vec<_>>().join("\n\n")
    )
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

/// Writes the mistakes in specs, and those in the code of the cells that could be read.
fn report(mistakes: &Diagnostics, wrong: &[Wrong], format: Format) -> std::io::Result<()> {
    match format {
        Format::Json => {
            let all = mistakes.iter().map(Mistake::Spec).chain(wrong.iter().map(Mistake::Source));
            output::print_json(&all.collect::<Vec<_>>())
        }
        Format::Human => {
            let sources =
                if wrong.is_empty() { String::new() } else { format!("\n\n{}", listed(wrong)) };
            let (report, found) = (specs::report(mistakes), specs::found(mistakes));
            output::print(format_args!("{report}\n\n{found}{sources}"))
        }
    }
}
