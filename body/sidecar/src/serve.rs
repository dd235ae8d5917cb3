//! The cell's side: a Rust cell that is a process of its own.

mod bus;
mod connection;
mod error;
mod inbound;
mod logs;
mod notes;
mod scope;

use std::collections::BTreeMap;

use cbs::{CellName, NativeCell};

pub use self::{
    connection::{Connection, Options, SOCKET_VARIABLE},
    error::Error,
};
use crate::proto;

/// Serves cells for the body that started this program, until the body drains it. Of several cells,
/// it serves the one that the spec names. Lines that the cells log go to the body's log.
///
/// # Errors
/// [`Error`]: the reason why it could not serve, or ended too early, as a text for people.
pub async fn serve(cells: Vec<NativeCell>) -> Result<(), Error> {
    let mut named = BTreeMap::new();
    for cell in cells {
        let name: CellName = cell.name().parse()?;
        if named.insert(name.clone(), cell.cell()).is_some() {
            return Err(Error::Duplicate(name));
        }
    }
    let hello = proto::Hello {
        sdk: format!("cbs-rust {}", env!("CARGO_PKG_VERSION")),
        language: "rust".to_owned(),
        cells: named.keys().map(ToString::to_string).collect(),
        ..proto::Hello::default()
    };
    let connection = Connection::open(hello).await?;
    connection.forward_log();
    connection.serve_with(named, Options::default()).await
}

/// Runs [`serve`] as a whole `main`: on one thread, which is the fastest for a cell that awaits. A
/// cell that needs another runtime makes it and calls [`serve`].
///
/// ```no_run
/// # use cbs::{CellContext, CellError};
/// # async fn echo(_: &CellContext, input: String) -> Result<String, CellError> { Ok(input) }
/// fn main() -> Result<(), sidecar::Error> {
///     sidecar::serve_blocking(vec![cbs::cell("demo.echo", echo)])
/// }
/// ```
///
/// # Errors
/// The errors of [`serve`]. `main` prints the error as its text, and the program's exit status is
/// 1.
pub fn serve_blocking(cells: Vec<NativeCell>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(serve(cells))
}
