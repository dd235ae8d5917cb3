//! Data on Python that `cbs doctor` shows.

use std::path::PathBuf;

use crate::{
    environment,
    interpreter::{self, BUILT, InterpreterError},
};

/// Python of this program, found without starting it.
#[derive(Clone, Debug)]
pub struct PythonInfo {
    /// Version of the library that is loaded, three numbers.
    pub version: String,
    /// File of that library; `None` if it is linked in.
    pub library: Option<PathBuf>,
    /// Prefix that the standard library is under.
    pub prefix: PathBuf,
    /// Executable that runs this Python.
    pub executable: PathBuf,
    /// Path of the environment that cells in the body share. It is made with the first of them.
    pub environment: PathBuf,
    /// True if that environment has msgspec. Without it, JSON is read and written ten times slower.
    pub has_msgspec: bool,
    /// Reason why Python cells cannot run here, and the way to repair it.
    pub problem: Option<InterpreterError>,
}

/// Returns the data on this program's Python. Starts nothing.
#[must_use]
pub fn python_info() -> PythonInfo {
    let environment = environment::shared_place();
    PythonInfo {
        version: interpreter::loaded_version(),
        library: interpreter::loaded_library(),
        prefix: PathBuf::from(BUILT.prefix),
        executable: PathBuf::from(BUILT.executable),
        has_msgspec: environment::site_packages(&environment).join("msgspec").is_dir(),
        environment,
        problem: interpreter::fits().err(),
    }
}
