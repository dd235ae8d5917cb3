//! Cells in other languages, and their specs.

use std::{
    env,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use cbs::NativeCell;

use crate::cells;

/// The cell in Python, which reads JSON and writes it anew.
pub(crate) const PYTHON: &str = "bench.python";
/// The cells in Dart: one returns bytes, one reads JSON and writes it anew.
pub(crate) const DART: [&str; 2] = ["bench.dart", "bench.dart_json"];
/// The Rust cells that are processes of their own: one for bytes, one for JSON.
pub(crate) const EXEC: [&str; 2] = ["bench.exec", "bench.exec_json"];

/// The environment variable that turns this program into such a process.
const SERVES: &str = "CBS_BENCH_EXEC";

/// Returns the cells to serve if this process is to be a sidecar.
pub(crate) fn cells_to_serve() -> Option<Vec<NativeCell>> {
    let [bytes, json] = EXEC;
    env::var_os(SERVES).map(|_| vec![cells::echo(bytes), cells::typed_echo(json)])
}

/// Returns the spec of a Python cell, with more lines.
pub(crate) fn python(name: &str, source: &str, more: &str) -> String {
    spec(name, "python", &format!("  source: {}\n{more}", quoted(&at(source))))
}

/// Returns the spec of a cell in Dart.
pub(crate) fn dart(name: &str) -> String {
    spec(name, "dart", &format!("  source: {}\n", quoted(&at("echo_dart/bin/main.dart"))))
}

/// Returns the spec of a Rust cell in a process of its own: this program.
pub(crate) fn exec(name: &str) -> anyhow::Result<String> {
    let program = env::current_exe().context("this program does not know where it is")?;
    let more = format!(
        "  command: [{}]\n  env: {{ {SERVES}: '1' }}\n",
        quoted(&program.display().to_string())
    );
    Ok(spec(name, "exec", &more))
}

fn spec(name: &str, runtime: &str, more: &str) -> String {
    let mut text =
        format!("---\napiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {name} }}\n");
    // To write into a String cannot fail.
    let _ = write!(text, "spec:\n  runtime: {runtime}\n{more}");
    text
}

/// Returns the path of a cell's source.
fn at(source: &str) -> String {
    folder(source).display().to_string()
}

/// Returns the path of a file or folder of the cells.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cells").join(name)
}

/// Quotes a text in the form that YAML and JSON share.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
