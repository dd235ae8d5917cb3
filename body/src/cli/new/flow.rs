//! `cbs new flow`.

use std::path::Path;

use cbs::FlowName;

use super::{
    checkout,
    files::{self, NewFile},
};
use crate::{
    exit::{Outcome, Status},
    output,
};

const TEMPLATE: &str = include_str!("templates/flow.yaml");

pub(super) fn write(name: &FlowName, folder: &Path) -> Outcome {
    let path = folder.join("specs/flows").join(format!("{name}.yaml"));
    if path.symlink_metadata().is_ok() {
        return Err(files::there(&path));
    }
    let hint = files::schema_hint(folder, checkout::find(None, folder).ok().as_deref())?;
    let file = NewFile { text: files::fill(TEMPLATE, &[("hint", hint), ("name", name.as_str())]), path };
    files::write(std::slice::from_ref(&file))?;
    let path = file.path.display();
    output::tell(format_args!("wrote {path}"));
    output::tell("next:");
    output::print(format_args!("cbs check {path}"))?;
    Ok(Status::Done)
}
