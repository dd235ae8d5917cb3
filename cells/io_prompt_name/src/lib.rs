//! The cell `io.prompt_name`: finds the name of the person to greet.
//!
//! In: `{"name": "Ada"}`, `{}` or `null`. Out: `{"name": "Ada"}` (`demo/v1/Name`).
//!
//! The name is taken from the input. Without one, the cell asks the person at the program that
//! hosts it (if no person can be asked, it goes on at once); then it takes `$USER`, then `world`.
//!
//! ```
//! assert_eq!(io_prompt_name::cell().name(), "io.prompt_name");
//! ```
//!
//! # Layout
//!
//! - [`cell`]: the function that a body links in. [`Question`], [`Name`]: input and output.

use cbs::{CellContext, CellError, NativeCell};
use serde::{Deserialize, Serialize};

/// Limit of the characters of a name, as in `demo/v1/Name`.
pub const NAME_CHARS_MAX: usize = 200;

/// Input of the cell: the known data of the person.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The name; without one, the cell asks.
    pub name: Option<String>,
}

/// A person's name: `demo/v1/Name`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Name {
    /// 1 to 200 characters, without blanks at the ends.
    pub name: String,
}

/// Makes the cell.
#[must_use]
pub fn cell() -> NativeCell {
    cbs::cell("io.prompt_name", prompt_name)
}

async fn prompt_name(context: &CellContext, question: Option<Question>) -> Result<Name, CellError> {
    if let Some(name) = question.and_then(|question| question.name) {
        return checked(&name);
    }
    let answer = context.ask("What is your name? ").await?;
    checked(&first_filled([answer, std::env::var("USER").ok()]))
}

/// Returns the first text that has more than blanks, else `world`.
fn first_filled<const N: usize>(texts: [Option<String>; N]) -> String {
    texts
        .into_iter()
        .flatten()
        .find(|text| !text.trim().is_empty())
        .unwrap_or_else(|| "world".to_owned())
}

fn checked(name: &str) -> Result<Name, CellError> {
    let name = name.trim();
    match name.chars().count() {
        1..=NAME_CHARS_MAX => Ok(Name { name: name.to_owned() }),
        count => Err(CellError::bad_request(format!(
            "`name` has {count} characters, not 1 to {NAME_CHARS_MAX}"
        ))),
    }
}

#[cfg(test)]
mod tests;
