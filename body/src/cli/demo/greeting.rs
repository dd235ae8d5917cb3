//! The specs and sources of the greeting, linked in: the demo needs no files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use model::CellSpec;
use spec::Specs;
use tempfile::TempDir;

use crate::{
    app::Hosts,
    exit::Failure,
    output::{self, WARNING},
};

macro_rules! linked {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../", $path)))),*]
    };
}

type Files = &'static [(&'static str, &'static str)];

/// The greeting in Rust.
const NATIVE: Files = linked![
    "specs/cells/io.prompt_name.yaml",
    "specs/cells/logic.greet.yaml",
    "specs/cells/io.print_greeting.yaml",
    "specs/flows/greeting.yaml",
];

/// The greeting in three languages.
const POLYGLOT: Files = linked![
    "specs/variants/polyglot/cells/io.prompt_name.yaml",
    "specs/variants/polyglot/cells/logic.greet.yaml",
    "specs/variants/polyglot/cells/io.print_greeting.yaml",
    "specs/variants/polyglot/flows/greeting.yaml",
];

/// The source files of its cells.
const SOURCES: Files = linked![
    "cells/logic_greet_python/greet.py",
    "cells/io_print_greeting_dart/pubspec.yaml",
    "cells/io_print_greeting_dart/bin/main.dart",
    "cells/io_print_greeting_dart/lib/print_greeting.dart",
];

const SCHEMAS: &[(&str, &str)] = &[
    ("demo/v1/MaybeName", include_str!("../../../../specs/schemas/demo/v1/MaybeName.json")),
    ("demo/v1/Name", include_str!("../../../../specs/schemas/demo/v1/Name.json")),
    ("demo/v1/Greeting", include_str!("../../../../specs/schemas/demo/v1/Greeting.json")),
];

/// The greeting, ready to run.
pub(super) struct Greeting {
    pub(super) specs: Specs,
    /// Folder of the source files, as long as the demo runs.
    _folder: Option<TempDir>,
}

impl Greeting {
    /// Makes the greeting in Rust.
    pub(super) fn native() -> Result<Self, Failure> {
        let texts = NATIVE.iter().map(|(path, text)| (PathBuf::from(path), *text));
        Ok(Self { specs: load(texts)?, _folder: None })
    }

    /// Makes the greeting in Rust, Python and Dart. A cell that no host can run here runs in Rust,
    /// and one line reports that.
    pub(super) fn polyglot(hosts: &Hosts) -> Result<Self, Failure> {
        let folder =
            tempfile::Builder::new().prefix("cbs-demo-").tempdir().map_err(Failure::not_started)?;
        for (path, text) in SOURCES.iter().chain(POLYGLOT) {
            write(&folder.path().join(path), text).map_err(Failure::not_started)?;
        }
        let texts = || POLYGLOT.iter().map(|(path, text)| (folder.path().join(path), *text));
        let specs = load(texts())?;
        let why = |spec: &Arc<CellSpec>| Some((spec.name.clone(), hosts.unsupported(spec)?));
        let unsupported: Vec<_> = specs.cells().filter_map(why).collect();
        if unsupported.is_empty() {
            return Ok(Self { specs, _folder: Some(folder) });
        }
        for (name, reason) in &unsupported {
            output::report(format_args!("{WARNING}{name} runs in Rust{WARNING:#}: {reason}"));
        }
        let instead = texts().map(|(path, text)| {
            let is_unsupported = |file: &str| {
                unsupported.iter().any(|(name, _)| file.ends_with(&format!("/{name}.yaml")))
            };
            let native = NATIVE.iter().find(|(file, _)| {
                is_unsupported(file) && path.file_name() == Path::new(file).file_name()
            });
            native.map_or((path.clone(), text), |(_, text)| (path.clone(), *text))
        });
        Ok(Self { specs: load(instead)?, _folder: Some(folder) })
    }
}

fn load(texts: impl Iterator<Item = (PathBuf, &'static str)>) -> Result<Specs, Failure> {
    let options = spec::Options { embedded_schemas: SCHEMAS, ..spec::Options::default() };
    spec::load_texts(texts, &options).map_err(|error| crate::specs::failure(&error))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
