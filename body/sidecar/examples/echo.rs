//! A Rust cell as a process of its own: it returns its input.
//!
//! In a spec: `runtime: exec` and `command: [target/debug/examples/echo]`.

use cbs::{CellContext, CellError};
use serde_json::Value;

async fn echo(_: &CellContext, input: Value) -> Result<Value, CellError> {
    Ok(input)
}

fn main() -> Result<(), sidecar::Error> {
    sidecar::serve_blocking(vec![cbs::cell("demo.echo", echo)])
}
