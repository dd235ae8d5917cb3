//! The cell `io.print_greeting`: prints a greeting and returns it.
//!
//! In and out: `{"text": "Hello, Ada!"}` (`demo/v1/Greeting`). The line goes to the standard
//! output of the program that hosts the cell.
//!
//! ```
//! assert_eq!(io_print_greeting::cell().name(), "io.print_greeting");
//! ```
//!
//! # Layout
//!
//! - [`cell`]: the function that a body links in. [`Greeting`]: input and output.

use cbs::{CellContext, CellError, NativeCell};
use serde::{Deserialize, Serialize};

/// The greeting: `demo/v1/Greeting`.
#[derive(Debug, Deserialize, Serialize)]
pub struct Greeting {
    /// A line of text.
    pub text: String,
}

/// Makes the cell.
#[must_use]
pub fn cell() -> NativeCell {
    cbs::cell("io.print_greeting", print_greeting)
}

async fn print_greeting(context: &CellContext, greeting: Greeting) -> Result<Greeting, CellError> {
    context.print(greeting.text.as_str()).await?;
    Ok(greeting)
}

#[cfg(test)]
mod tests;
