//! `cbs new flow`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cbs::FlowName;

use super::{
    checkout,
    files::{self, NewFile, fill, shown},
};
use crate::{exit::Failure, output};

const TEMPLATE: &str = include_str!("templates/flow.yaml");
/// The cell that the template calls. `cbs` has the cell and its spec built in.
const CELL: &str = "logic.greet";
const CELL_SPEC: &str = include_str!("templates/greet.yaml");

/// Writes the spec of the flow, and that of the cell that it calls if there is none yet. Returns
/// the command that runs both.
pub(super) fn write(name: &FlowName, folder: &Path) -> Result<String, Failure> {
    let folder = &checkout::absolute(folder)?;
    let specs = folder.join("specs");
    let path = specs.join("flows").join(format!("{name}.yaml"));
    if path.symlink_metadata().is_ok() {
        return Err(files::there(&path));
    }
    let hint = files::schema_hint(folder, checkout::find(None, folder).ok().as_deref())?;
    let words = [("hint", hint), ("name", name.as_str())];
    let mut new = vec![NewFile { path: path.clone(), text: fill(TEMPLATE, &words) }];
    let cell = spec_of_cell(&specs).unwrap_or_else(|| {
        let path = specs.join("cells").join(format!("{CELL}.yaml"));
        new.push(NewFile { path: path.clone(), text: fill(CELL_SPEC, &words) });
        path
    });
    files::write(&new)?;
    new.iter().for_each(|file| output::report(format_args!("wrote {}", shown(&file.path))));
    Ok(format!("cbs up {} {}", shown(&cell), shown(&path)))
}

/// Finds the file with the spec of the cell. If the specs have mistakes, documents without a
/// mistake count, and the file that is named after the cell.
fn spec_of_cell(specs: &Path) -> Option<PathBuf> {
    match spec::load(&[specs.to_owned()], &options()) {
        Ok(found) => file_of_cell(&found),
        Err(_) => documents(specs)
            .into_iter()
            .find_map(|(file, text)| {
                file_of_cell(&spec::load_texts([(file, text.as_str())], &options()).ok()?)
            })
            .or_else(|| {
                Some(specs.join("cells").join(format!("{CELL}.yaml")))
                    .filter(|file| file.symlink_metadata().is_ok())
            }),
    }
}

fn options() -> spec::Options {
    spec::Options { allow_remote: true, allow_empty: true, ..spec::Options::default() }
}

fn file_of_cell(specs: &spec::Specs) -> Option<PathBuf> {
    let cell = specs.cells().find(|cell| cell.name.as_str() == CELL)?;
    Some(cell.metadata.file.clone())
}

/// Returns the documents of the YAML files of a folder of specs, each with its file. A file that
/// cannot be read has none.
fn documents(specs: &Path) -> Vec<(PathBuf, String)> {
    let folders = [specs.to_owned(), specs.join("cells"), specs.join("flows")];
    let listed = folders.into_iter().filter_map(|folder| folder.read_dir().ok()).flatten();
    let is_yaml = |file: &PathBuf| {
        file.is_file() && file.extension().is_some_and(|kind| kind == "yaml" || kind == "yml")
    };
    let mut files: Vec<PathBuf> =
        listed.filter_map(|entry| Some(entry.ok()?.path())).filter(is_yaml).collect();
    files.sort();
    let texts = files.into_iter().filter_map(|file| Some((fs::read_to_string(&file).ok()?, file)));
    let split = texts.flat_map(|(text, file)| {
        let documents = text.split("\n---").map(|text| (file.clone(), text.to_owned()));
        documents.collect::<Vec<_>>()
    });
    split.collect()
}
