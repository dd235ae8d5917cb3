//! `cbs new flow`.

use std::path::{Path, PathBuf};

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

/// Finds the file with the spec of the cell. If the specs have mistakes, it is the file that is
/// named after the cell.
fn spec_of_cell(specs: &Path) -> Option<PathBuf> {
    let options =
        spec::Options { allow_remote: true, allow_empty: true, ..spec::Options::default() };
    match spec::load(&[specs.to_owned()], &options) {
        Ok(found) => found
            .cells()
            .find(|cell| cell.name.as_str() == CELL)
            .map(|cell| cell.metadata.file.clone()),
        Err(_) => Some(specs.join("cells").join(format!("{CELL}.yaml")))
            .filter(|file| file.symlink_metadata().is_ok()),
    }
}
