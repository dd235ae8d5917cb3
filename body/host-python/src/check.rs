//! Whether a cell's file could be a cell, without running it.

use std::{ffi::CStr, fs, path::Path, process::Command};

use cbs::CellName;
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    interpreter::{self, BUILT, embedded},
    requirements::Requirements,
};

const CHECK_TEXT: &str = include_str!("../python/check.py");
const CHECK: &CStr = embedded(concat!(include_str!("../python/check.py"), "\0"));

/// Checks a file that a spec names as `file.py:function` of this cell: that it is there and can be read as Python,
/// that it has the function, that a caller could fill the function's parameters, and that its decorator says no other
/// name, and that what its requirements name by paths is there. Nothing of it is run. Starts the interpreter.
///
/// # Errors
/// What is wrong, with file and line, for a person.
pub fn check_source(file: &Path, function: &str, name: &CellName) -> Result<(), String> {
    let source = read(file)?;
    interpreter::start().map_err(|error| error.to_string())?;
    let found = Python::attach(|py| -> PyResult<Option<String>> {
        let check = PyModule::from_code(py, CHECK, c"<cbs>/host/check.py", c"cbs_host_check")?;
        let source = PyBytes::new(py, &source);
        check.call_method1("check", (source, file.to_string_lossy(), function, name.as_str()))?.extract()
    });
    found.map_err(|error| format!("{}: {error}", file.display()))?.map_or(Ok(()), Err)
}

/// The same by a Python process, so that a body whose Python cells are all in processes of their own needs no
/// interpreter.
pub(crate) fn check_apart(file: &Path, function: &str, name: &CellName) -> Result<(), String> {
    read(file)?;
    let mut command = Command::new(BUILT.executable);
    command.args(["-I", "-S", "-X", "utf8", "-c", CHECK_TEXT]).arg(file).args([function, name.as_str()]);
    let output = command.output().map_err(|error| format!("cannot start {}: {error}", BUILT.executable))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: cannot be checked: {}", file.display(), error.lines().last().unwrap_or_default()));
    }
    if said.is_empty() { Ok(()) } else { Err(said.into_owned()) }
}

/// The file's content, where what it requires beside it can be read too.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    Requirements::beside(file)?;
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}
