//! Cells: what authors write.

use std::{future::Future, sync::Arc};

use crate::{BoxFuture, CellContext, CellEnv, CellError, Envelope};

/// A cell: it does one task. Functions are cells too, and shorter: see [`cell`](crate::cell()).
/// Write this trait for cells that need raw envelopes, state, or the hooks.
///
/// ```
/// use cbs::{Cell, CellContext, CellError, Envelope};
///
/// /// Gives back what it gets, byte for byte.
/// struct Echo;
///
/// impl Cell for Echo {
///     async fn call(&self, _: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
///         Ok(Envelope::reply(request.payload))
///     }
/// }
///
/// let echo = cbs::NativeCell::new("demo.echo", Echo);
/// # assert_eq!(echo.name(), "demo.echo");
/// ```
pub trait Cell: Send + Sync + 'static {
    /// Answers one request. Up to the spec's `concurrency` of these run at once, on the bus's
    /// own task: await as you like, but do not block (use a blocking task). At the deadline
    /// the future is dropped and the caller gets `timeout`. A panic is caught; the caller gets
    /// `cell-failed`.
    fn call(
        &self,
        context: &CellContext,
        request: Envelope,
    ) -> impl Future<Output = Result<Envelope, CellError>> + Send;

    /// Runs once before the first call. An error keeps the cell from serving; it is tried
    /// again with backoff.
    fn start(&self, _home: &CellEnv) -> impl Future<Output = Result<(), CellError>> + Send {
        async { Ok(()) }
    }

    /// Runs once after the last call has been answered.
    fn stop(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// [`Cell`] for the registry: the same with boxed futures. Every `Cell` is one; do not write an
/// implementation.
pub trait DynCell: Send + Sync + 'static {
    /// See [`Cell::call`].
    fn call<'a>(
        &'a self,
        context: &'a CellContext,
        request: Envelope,
    ) -> BoxFuture<'a, Result<Envelope, CellError>>;
    /// See [`Cell::start`].
    fn start<'a>(&'a self, env: &'a CellEnv) -> BoxFuture<'a, Result<(), CellError>>;
    /// See [`Cell::stop`].
    fn stop(&self) -> BoxFuture<'_, ()>;
}

impl<C: Cell> DynCell for C {
    fn call<'a>(
        &'a self,
        context: &'a CellContext,
        request: Envelope,
    ) -> BoxFuture<'a, Result<Envelope, CellError>> {
        Box::pin(Cell::call(self, context, request))
    }

    fn start<'a>(&'a self, env: &'a CellEnv) -> BoxFuture<'a, Result<(), CellError>> {
        Box::pin(Cell::start(self, env))
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(Cell::stop(self))
    }
}

/// A Rust cell with its name, ready to be linked into a body.
#[derive(Clone)]
pub struct NativeCell {
    name: String,
    cell: Arc<dyn DynCell>,
}

impl NativeCell {
    /// Names a cell. The name is checked by the body that hosts it.
    pub fn new(name: &str, cell: impl Cell) -> Self {
        Self { name: name.to_owned(), cell: Arc::new(cell) }
    }

    /// The name as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cell.
    #[must_use]
    pub fn cell(&self) -> Arc<dyn DynCell> {
        self.cell.clone()
    }
}
