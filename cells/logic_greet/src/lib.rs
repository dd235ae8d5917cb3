//! The cell `logic.greet`: turns a name into a greeting.
//!
//! In: `{"name": "Ada"}` (`demo/v1/Name`). Out: `{"text": "Hello, Ada!"}` (`demo/v1/Greeting`).
//!
//! ```
//! assert_eq!(logic_greet::cell().name(), "logic.greet");
//! ```
//!
//! # Layout
//!
//! - [`cell`]: the function that a body links in. [`Name`], [`Greeting`]: input and output.

use cbs::{CellContext, CellError, NativeCell};
use serde::{Deserialize, Serialize};

/// The person to greet: `demo/v1/Name`.
#[derive(Debug, Deserialize)]
pub struct Name {
    /// The person's name.
    pub name: String,
}

/// The greeting: `demo/v1/Greeting`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Greeting {
    /// A line of text.
    pub text: String,
}

/// Makes the cell.
#[must_use]
pub fn cell() -> NativeCell {
    cbs::cell("logic.greet", greet)
}

async fn greet(_: &CellContext, input: Name) -> Result<Greeting, CellError> {
    Ok(Greeting { text: format!("Hello, {}!", input.name) })
}

#[cfg(test)]
mod tests;
