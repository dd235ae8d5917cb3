//! Functions as cells: JSON in, JSON out, typed.

use std::{fmt, future::Future, marker::PhantomData};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Cell, CellContext, CellError, Code, Envelope, NativeCell, json};

/// An `async fn(&CellContext, Input) -> Result<Output, CellError>`. Implemented for every such
/// function; do not write an implementation.
pub trait CellFn<'a, Input, Output>: Send + Sync + 'static {
    /// Future that the function returns.
    type Future: Future<Output = Result<Output, CellError>> + Send + 'a;
    /// Calls the function.
    fn invoke(&self, context: &'a CellContext, input: Input) -> Self::Future;
}

impl<'a, F, Fut, Input, Output> CellFn<'a, Input, Output> for F
where
    F: Fn(&'a CellContext, Input) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Output, CellError>> + Send + 'a,
{
    type Future = Fut;
    fn invoke(&self, context: &'a CellContext, input: Input) -> Fut {
        self(context, input)
    }
}

struct Function<F, Input, Output> {
    function: F,
    types: PhantomData<fn(Input) -> Output>,
}

impl<F, Input, Output> Cell for Function<F, Input, Output>
where
    F: for<'a> CellFn<'a, Input, Output>,
    Input: DeserializeOwned + Send + 'static,
    Output: Serialize + Send + 'static,
{
    async fn call(&self, context: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        let input = exact_from_json(&request.payload)?;
        let output = self.function.invoke(context, input).await?;
        Ok(Envelope::reply(written(context, "output", &output)?))
    }
}

/// Makes a cell of an async function. Input and output are JSON by serde; input that does not
/// fit is answered with `bad-request` and the path of the field.
///
/// Where JSON and serde leave a choice, the rule is that of every language of CBS:
///
/// - NaN and infinities are no JSON. Input that holds one is a `bad-request`; an output, a call's
///   input or an event that holds one is the cell's failure (`cell-failed`), and the body's log
///   names the field. None becomes null, but where [`serde_json::Value`] has made null of it
///   before.
/// - An integer is exact or refused: one that does not fit into 64 bits is a `bad-request` that
///   names the field, also where the type could hold it (`u128`) or would round it (`f64`,
///   `Value`). Larger ones are sent as texts.
/// - Texts are whole: invalid UTF-8, or half of a surrogate pair, is a `bad-request`.
///
/// ```
/// use cbs::{CellContext, CellError};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Name { name: String }
///
/// #[derive(Serialize)]
/// struct Greeting { text: String }
///
/// async fn greet(_: &CellContext, input: Name) -> Result<Greeting, CellError> {
///     Ok(Greeting { text: format!("Hello, {}!", input.name) })
/// }
///
/// let cell = cbs::cell("logic.greet", greet);
/// # assert_eq!(cell.name(), "logic.greet");
/// ```
pub fn cell<F, Input, Output>(name: &str, function: F) -> NativeCell
where
    F: for<'a> CellFn<'a, Input, Output>,
    Input: DeserializeOwned + Send + 'static,
    Output: Serialize + Send + 'static,
{
    NativeCell::new(name, Function { function, types: PhantomData })
}

/// Reads a JSON payload; an empty one is `null`.
///
/// # Errors
/// `bad-request` with the path of the field that does not fit. Integers beyond 64 bits are read as
/// serde reads them: `f64` and [`serde_json::Value`] round them.
pub fn from_json<T: DeserializeOwned>(payload: &Bytes) -> Result<T, CellError> {
    let text: &[u8] = if payload.is_empty() { b"null" } else { payload };
    // The quick reader first: it does not know where it is, which matters only on failure.
    serde_json::from_slice(text).or_else(|_| {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            // What is no JSON at all has no fields.
            let path =
                if error.inner().is_data() { error.path().to_string() } else { ".".to_owned() };
            misfit(&path, error.inner())
        })?;
        reader.end().map_err(|error| misfit(".", &error))?;
        Ok(value)
    })
}

/// Reads the input of a cell as [`from_json`] does, but refuses integers beyond 64 bits, because
/// serde would round them.
pub(crate) fn exact_from_json<T: DeserializeOwned>(payload: &Bytes) -> Result<T, CellError> {
    match json::wide_integer(payload) {
        Some(path) => Err(misfit(&path, "an integer beyond 64 bits: send it as a text")),
        None => from_json(payload),
    }
}

fn misfit(path: &str, reason: impl fmt::Display) -> CellError {
    let place = if path == "." { "the payload".to_owned() } else { format!("`{path}`") };
    CellError::bad_request(format!("{place}: {reason}"))
        .with_details(serde_json::json!({ "path": path }))
}

/// Writes a JSON payload.
///
/// # Errors
/// `cell-failed` for a value that JSON cannot hold: NaN, infinities, a map whose keys are no texts.
/// The message names the field.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, CellError> {
    let failed = |reason: String| CellError::new(Code::CellFailed, format!("no JSON: {reason}"));
    let json = serde_json::to_vec(value).map_err(|error| failed(error.to_string()))?;
    // serde_json writes null for a number that JSON has not.
    if json.windows(4).any(|part| part == b"null")
        && let Some((path, name)) = json::not_finite(value)
    {
        let place = if path == "." { String::new() } else { format!("`{path}`: ") };
        return Err(failed(format!("{place}{name} is no number of JSON")));
    }
    Ok(Bytes::from(json))
}

/// Writes the output of a cell. An output that cannot be written is the cell's own failure: the log
/// has the reason, the caller gets an id.
pub(crate) fn written<T: Serialize + ?Sized>(
    context: &CellContext,
    what: &str,
    value: &T,
) -> Result<Bytes, CellError> {
    to_json(value).map_err(|error| {
        context.log().error(format_args!("the cell's {what} cannot be sent: {}", error.message));
        CellError::cell_failed(context.id())
    })
}
