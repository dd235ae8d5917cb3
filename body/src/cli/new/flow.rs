//! `cbs new flow`.

use std::path::Path;

use cbs::FlowName;

use super::files::{self, NewFile};
use crate::{
    exit::{Outcome, Status},
    output,
};

const TEMPLATE: &str = include_str!("templates/flow.yaml");

pub(super) fn write(name: &FlowName, folder: &Path) -> Outcome {
    let path = folder.join("specs/flows").join(format!("{name}.yaml"));
    let file = NewFile { text: files::fill(TEMPLATE, &[("name", name.as_str())]), path };
    files::write(std::slice::from_ref(&file))?;
    files::write_schema(folder)?;
    let path = file.path.display();
    output::tell(format_args!("wrote {path}"));
    output::tell("next:");
    output::print(format_args!("cbs check {path}"))?;
    Ok(Status::Done)
}
