//! The cells that are called, and their specs.

use std::fmt::Write as _;

use bytes::Bytes;
use cbs::{BoxFuture, Cell, CellContext, CellError, Console, Envelope, NativeCell};
use serde::{Deserialize, Serialize};

/// The cell that returns the bytes that it receives.
pub(crate) const ECHO: &str = "bench.echo";
/// The cell that reads JSON and writes it anew.
pub(crate) const TYPED: &str = "bench.typed";
/// The cells of the flow's steps, all like [`TYPED`].
pub(crate) const STEPS: [&str; 3] = ["bench.one", "bench.two", "bench.three"];
/// The flow's name.
pub(crate) const FLOW: &str = "three";
/// Number of cells that share an organ, of [`many`] cells.
const ORGAN_SIZE: usize = 100;

struct Echo;

impl Cell for Echo {
    async fn call(&self, _: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        Ok(Envelope::reply(request.payload))
    }
}

#[derive(Deserialize, Serialize)]
struct Text {
    text: String,
}

async fn typed(_: &CellContext, input: Text) -> Result<Text, CellError> {
    Ok(input)
}

/// Makes a cell that echoes bytes.
pub(crate) fn echo(name: &str) -> NativeCell {
    NativeCell::new(name, Echo)
}

/// Makes a cell that echoes JSON, typed.
pub(crate) fn typed_echo(name: &str) -> NativeCell {
    cbs::cell(name, typed)
}

/// Returns the names of `count` cells.
pub(crate) fn many(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|index| format!("bench{}.cell{}", index / ORGAN_SIZE, index % ORGAN_SIZE))
}

/// Returns specs of Rust cells, with more lines for each `spec`.
pub(crate) fn specs(names: impl IntoIterator<Item = impl AsRef<str>>, more: &str) -> String {
    let mut text = String::new();
    for name in names {
        let name = name.as_ref();
        // To write into a String cannot fail.
        let _ = write!(
            text,
            "---\napiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {name} }}\n"
        );
        let _ = write!(text, "spec:\n  runtime: rust\n{more}");
    }
    text
}

/// Returns the spec of the flow: each step gets the answer of the step before, as in the greeting.
pub(crate) fn flow_spec() -> String {
    let [one, two, three] = STEPS;
    format!(
        "---\napiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: {{ name: {FLOW} }}\nspec:\n  steps:\n    \
         - {{ id: one, call: {one}, with: \"${{ .input }}\" }}\n    \
         - {{ id: two, call: {two}, with: \"${{ .steps.one }}\" }}\n    \
         - {{ id: three, call: {three}, with: \"${{ .steps.two }}\" }}\n  \
         output: \"${{ .steps.three }}\"\n"
    )
}

/// Returns a JSON payload of exactly `size` bytes (at least 11), which [`TYPED`] returns unchanged.
pub(crate) fn payload(size: usize) -> Bytes {
    let frame = r#"{"text":""}"#.len();
    Bytes::from(format!(r#"{{"text":"{}"}}"#, "x".repeat(size.saturating_sub(frame))))
}

/// A console without a terminal.
pub(crate) struct Silent;

impl Console for Silent {
    fn print(&self, _: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(async { Ok(()) })
    }

    fn ask(&self, _: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(async { Ok(None) })
    }
}
