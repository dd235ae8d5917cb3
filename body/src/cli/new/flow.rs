//! `cbs new flow`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use cbs::FlowName;
use model::CellSpec;

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

/// Finds the file with the spec of the cell. If the specs have mistakes, the cells whose own specs
/// could be read count, and the file that is named after the cell.
fn spec_of_cell(specs: &Path) -> Option<PathBuf> {
    let options =
        spec::Options { allow_remote: true, allow_empty: true, ..spec::Options::default() };
    match spec::load(&[specs.to_owned()], &options) {
        Ok(found) => file_of_cell(found.cells()),
        Err(error) => {
            let named = specs.join("cells").join(format!("{CELL}.yaml"));
            error
                .diagnostics()
                .and_then(|mistakes| file_of_cell(mistakes.cells()))
                .or_else(|| named.symlink_metadata().is_ok().then_some(named))
        }
    }
}

fn file_of_cell<'c>(mut cells: impl Iterator<Item = &'c Arc<CellSpec>>) -> Option<PathBuf> {
    Some(cells.find(|cell| cell.name.as_str() == CELL)?.metadata.file.clone())
}
