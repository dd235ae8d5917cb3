//! Passes what only the build knows to the program: the Python that it is built with, the folder of
//! its library, and the sources of the SDK, which are embedded in the program.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

const SDK: &str = "../../sdk-python/src/cbs";
/// Python code that prints the interpreter's version, prefix and executable, one on each line.
const ABOUT: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.base_prefix); \
                     print(sys._base_executable or sys.executable)";

fn main() -> Result<(), Box<dyn Error>> {
    pyo3_build_config::add_libpython_rpath_link_args();
    let python = pyo3_build_config::get();
    let library = python.lib_dir().unwrap_or_default();
    if !library.is_empty() {
        println!("cargo::metadata=library={library}");
    }
    let python_info = python.run_python_script(ABOUT)?;
    let mut lines = python_info.lines();
    for name in ["CBS_PYTHON_VERSION", "CBS_PYTHON_PREFIX", "CBS_PYTHON_EXECUTABLE"] {
        let line = lines.next().ok_or("the interpreter told too little about itself")?;
        println!("cargo::rustc-env={name}={line}");
    }
    println!("cargo::rustc-env=CBS_PYTHON_LIBRARY={library}");
    embed_sdk()
}

/// Writes the SDK's sources as a table: module name, whether the module is a package, and text.
fn embed_sdk() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join(SDK);
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut modules = Vec::new();
    collect(&root, "cbs", &mut modules)?;
    modules.sort();
    let mut table = String::from("&[\n");
    for (name, package, file) in &modules {
        writeln!(
            table,
            "    ({name:?}, {package}, include_str!({:?})),",
            file.display().to_string()
        )?;
    }
    table.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("sdk.rs"), table)?;
    Ok(())
}

fn collect(
    folder: &Path,
    name: &str,
    modules: &mut Vec<(String, bool, PathBuf)>,
) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() && stem != "__pycache__" {
            collect(&path, &format!("{name}.{stem}"), modules)?;
        } else if path.extension().is_some_and(|extension| extension == "py") {
            let package = stem == "__init__";
            let module = if package { name.to_owned() } else { format!("{name}.{stem}") };
            modules.push((module, package, path.canonicalize()?));
        }
    }
    Ok(())
}
