//! What `cbs doctor` tells of Python.

use std::path::PathBuf;

use crate::{
    environment,
    interpreter::{self, BUILT, InterpreterError},
};

/// The Python of this program, found without starting it.
#[derive(Clone, Debug)]
pub struct PythonInfo {
    /// The version of the library that is loaded, three numbers.
    pub version: String,
    /// The file of that library; `None` where it is linked in.
    pub library: Option<PathBuf>,
    /// Where the standard library is.
    pub prefix: PathBuf,
    /// The program that runs this Python.
    pub executable: PathBuf,
    /// The environment that cells in the body share; made with the first of them.
    pub environment: PathBuf,
    /// Whether that environment has msgspec: without, JSON is read and written ten times slower.
    pub has_msgspec: bool,
    /// Why Python cells cannot run here, and how to mend it.
    pub problem: Option<InterpreterError>,
}

/// What there is of Python. Starts nothing.
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
