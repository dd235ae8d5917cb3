//! Functions as cells: JSON in, JSON out, typed.

use std::{future::Future, marker::PhantomData};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Cell, CellContext, CellError, Envelope, NativeCell};

/// An `async fn(&CellContext, Input) -> Result<Output, CellError>`. Implemented for every such
/// function; do not implement it by hand.
pub trait CellFn<'a, Input, Output>: Send + Sync + 'static {
    /// What the function returns.
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
        let input = from_json(&request.payload)?;
        let output = self.function.invoke(context, input).await?;
        Ok(Envelope::reply(to_json(&output)?))
    }
}

/// Makes a cell of an async function. Input and output are JSON by serde; input that does not
/// fit is answered with `bad-request` and the path of the field.
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
/// `bad-request` with the path of the field that does not fit.
pub fn from_json<T: DeserializeOwned>(payload: &Bytes) -> Result<T, CellError> {
    let text: &[u8] = if payload.is_empty() { b"null" } else { payload };
    // The quick reader first: it does not know where it is, which matters only on failure.
    serde_json::from_slice(text).or_else(|_| {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            // What is no JSON at all has no fields.
            let path = if error.inner().is_data() { error.path().to_string() } else { ".".to_owned() };
            let place = if path == "." { "the payload".to_owned() } else { format!("`{path}`") };
            CellError::bad_request(format!("{place}: {}", error.inner()))
                .with_details(serde_json::json!({ "path": path }))
        })?;
        reader.end().map_err(|error| CellError::bad_request(format!("the payload: {error}")))?;
        Ok(value)
    })
}

/// Writes a JSON payload.
///
/// # Errors
/// `internal` for what JSON cannot hold, such as a map whose keys are no texts.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, CellError> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| CellError::new(crate::Code::Internal, format!("the output is no JSON: {error}")))
}
