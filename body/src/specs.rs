//! Specs from the paths of a command line, and their mistakes as text for a person.

use std::path::PathBuf;

use anstyle::AnsiColor;
use spec::{Diagnostic, Diagnostics, Specs};

use crate::{
    exit::Failure,
    output::{self, BAD, BOLD},
};

/// Which specs, and what they may lean on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Paths {
    /// Files and folders of specs; of a folder: *.yaml, cells/*.yaml and flows/*.yaml
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The folder of JSON Schemas [default: the nearest `schemas` in or above a spec's folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) schemas: Option<PathBuf>,
    /// Flows may call cells that no spec declares: they run elsewhere
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// Folders may be empty as yet, and their `specs`, where `cbs new` writes, are read too.
    #[arg(skip)]
    pub(crate) growing: bool,
}

/// The same, where there need not be any.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct OptionalPaths {
    /// Files and folders of specs; of a folder: *.yaml, cells/*.yaml and flows/*.yaml
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder of JSON Schemas [default: the nearest `schemas` in or above a spec's folder]
    #[arg(long, value_name = "DIR", requires = "paths")]
    schemas: Option<PathBuf>,
    /// Flows may call cells that no spec declares: they run elsewhere
    #[arg(long, requires = "paths")]
    allow_remote: bool,
}

impl OptionalPaths {
    /// Returns the paths, if there are any.
    pub(crate) fn given(&self) -> Option<Paths> {
        let Self { paths, schemas, allow_remote } = self.clone();
        (!paths.is_empty()).then_some(Paths { paths, schemas, allow_remote, growing: false })
    }
}

impl Paths {
    /// Reads and checks all specs.
    pub(crate) fn load(&self) -> Result<Specs, spec::Error> {
        let options = spec::Options {
            schemas: self.schemas.clone(),
            allow_remote: self.allow_remote,
            allow_empty: self.growing,
            ..Default::default()
        };
        spec::load(&self.places(), &options)
    }

    /// Returns the files and folders that are read.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        let growing = |path: &PathBuf| (self.growing && path.is_dir()).then(|| path.join("specs"));
        self.paths
            .iter()
            .flat_map(|path| [Some(path.clone()), growing(path).filter(|specs| specs.is_dir())])
            .flatten()
            .collect()
    }
}

/// Reports files that were not read although the user might expect it.
pub(crate) fn tell_notes(notes: &[Diagnostic]) {
    for note in notes {
        let hint = note.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        output::report(format_args!("note: {}: {}{hint}", note.file.display(), note.message));
    }
}

/// Makes the failure for specs that cannot be used, as the program ends. The mistakes have been
/// written with `report` before.
pub(crate) fn failure(error: &spec::Error) -> Failure {
    match error {
        spec::Error::Paths(_) => Failure::not_started(error),
        spec::Error::Mistakes(mistakes) => {
            output::report(report(mistakes));
            output::report("");
            tell_notes(mistakes.notes());
            Failure::failed(format_args!("{}; nothing was started", found(mistakes)))
        }
    }
}

/// Formats the number of mistakes and files: `3 mistakes in 2 files`.
pub(crate) fn found(mistakes: &Diagnostics) -> String {
    let mut files: Vec<_> = mistakes.iter().map(|mistake| &mistake.file).collect();
    files.sort();
    files.dedup();
    let mistakes = output::count(mistakes.len(), "mistake", "mistakes");
    format!("{mistakes} in {}", output::count(files.len(), "file", "files"))
}

/// Formats every mistake with its line of the file and its hint, in colour.
pub(crate) fn report(mistakes: &Diagnostics) -> String {
    mistakes.iter().map(coloured).collect::<Vec<_>>().join("\n\n")
}

/// Adds colour to the plain text of a mistake: its place and message, the line with a caret below,
/// a hint.
fn coloured(mistake: &Diagnostic) -> String {
    let text = mistake.to_string();
    let hint = AnsiColor::Cyan.on_default();
    let style = |(index, line): (usize, &str)| match line.strip_prefix("hint:") {
        _ if index == 0 => format!("{BOLD}{line}{BOLD:#}"),
        Some(rest) => format!("{hint}hint:{hint:#}{rest}"),
        None => match line.find('^') {
            Some(caret) if index == 2 && line.is_char_boundary(caret) => {
                let (margin, carets) = line.split_at(caret);
                format!("{margin}{BAD}{carets}{BAD:#}")
            }
            _ => line.to_owned(),
        },
    };
    text.lines().enumerate().map(style).collect::<Vec<_>>().join("\n")
}
