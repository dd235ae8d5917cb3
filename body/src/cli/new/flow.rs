//! `cbs new flow`.

use std::path::Path;

use cbs::FlowName;

use super::{
    checkout,
    files::{self, NewFile},
};
use crate::{exit::Failure, output};

const TEMPLATE: &str = include_str!("templates/flow.yaml");

/// Writes the spec, and gives the command that checks it.
pub(super) fn write(name: &FlowName, folder: &Path) -> Result<String, Failure> {
    let folder = &checkout::absolute(folder)?;
    let path = folder.join("specs/flows").join(format!("{name}.yaml"));
    if path.symlink_metadata().is_ok() {
        return Err(files::there(&path));
    }
    let hint = files::schema_hint(folder, checkout::find(None, folder).ok().as_deref())?;
    let file = NewFile { text: files::fill(TEMPLATE, &[("hint", hint), ("name", name.as_str())]), path };
    files::write(std::slice::from_ref(&file))?;
    let path = files::shown(&file.path);
    output::tell(format_args!("wrote {path}"));
    Ok(format!("cbs check {path}"))
}
