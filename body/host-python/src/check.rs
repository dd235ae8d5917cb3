//! Checks if a file can be a cell, without running it.

use std::{ffi::CStr, fs, path::Path, process::Command};

use cbs::CellName;
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    interpreter::{self, BUILT, embedded},
    requirements::Requirements,
};

const CHECK_TEXT: &str = include_str!("../python/check.py");
const CHECK: &CStr = embedded(concat!(include_str!("../python/check.py"), "\0"));

/// Checks a file that a spec names as `file.py:function` of this cell. The file must be there and
/// be valid Python, and it must have the function. A caller must be able to fill the function's
/// parameters, and the function's decorator must not give another name. Files that the requirements
/// name by paths must be there. Nothing of the file is run. Starts the interpreter.
///
/// # Errors
/// The problem with file and line, as text for the operator.
pub fn check_source(file: &Path, function: &str, name: &CellName) -> Result<(), String> {
    let source = read(file)?;
    interpreter::start().map_err(|error| error.to_string())?;
    let found = Python::attach(|py| -> PyResult<Option<String>> {
        let check = PyModule::from_code(py, CHECK, c"<cbs>/host/check.py", c"cbs_host_check")?;
        let source = PyBytes::new(py, &source);
        check
            .call_method1("check", (source, file.to_string_lossy(), function, name.as_str()))?
            .extract()
    });
    found.map_err(|error| format!("{}: {error}", file.display()))?.map_or(Ok(()), Err)
}

/// Checks the same in a separate Python process, so that a body whose Python cells all run in
/// processes of their own needs no interpreter.
pub(crate) fn check_apart(file: &Path, function: &str, name: &CellName) -> Result<(), String> {
    read(file)?;
    let mut command = Command::new(BUILT.executable);
    command
        .args(["-I", "-S", "-X", "utf8", "-c", CHECK_TEXT])
        .arg(file)
        .args([function, name.as_str()]);
    let output =
        command.output().map_err(|error| format!("cannot start {}: {error}", BUILT.executable))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "{}: cannot be checked: {}",
            file.display(),
            error.lines().last().unwrap_or_default()
        ));
    }
    if said.is_empty() { Ok(()) } else { Err(said.into_owned()) }
}

/// Reads the file, and first checks that the requirements beside it can be read.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    Requirements::beside(file)?;
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}
