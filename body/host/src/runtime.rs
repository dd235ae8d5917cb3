//! Hosts: they start cells.

use std::{future, sync::Arc};

use cbs::{BoxFuture, CellEnv, CellError, CellName, DynCell, ListWorkers, NameError};
use model::CellSpec;

/// Starts cells of one runtime. It also ends the cells that it starts: when [`Started::cell`] has
/// been stopped and dropped, nothing of the cell is left.
pub trait Host: Send + Sync + 'static {
    /// Returns the runtime whose cells it starts: `rust`, `python`, `dart`, `exec`.
    fn runtime(&self) -> &'static str;

    /// Checks that the cell could be started here. Called before anything is started, so that the
    /// operator sees all mistakes at once.
    ///
    /// # Errors
    /// The mistake, and how to correct it.
    fn check(&self, spec: &CellSpec) -> Result<(), HostError>;

    /// Starts a cell once, and runs its start hook; returns when it can take calls. Called again
    /// after a failure. The supervisor sets a time limit and catches panics.
    fn start<'a>(
        &'a self,
        spec: &'a CellSpec,
        env: &'a CellEnv,
    ) -> BoxFuture<'a, Result<Started, HostError>>;
}

/// A cell that was started once.
pub struct Started {
    /// The cell that takes the calls; the supervisor runs its stop hook.
    pub cell: Arc<dyn DynCell>,
    /// Ready when the cell ended by itself, with the reason: a process that exited. A cell in the
    /// body never does: [`future::pending`].
    pub ended: BoxFuture<'static, String>,
    /// Reads the status of its lanes or processes, if it has any.
    pub workers: Option<ListWorkers>,
}

impl Started {
    /// Returns a cell that runs in the body and never ends by itself.
    #[must_use]
    pub fn new(cell: Arc<dyn DynCell>) -> Self {
        Self { cell, ended: Box::pin(future::pending()), workers: None }
    }
}

/// Reason why a cell cannot be hosted or started.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A cell that is linked in has an invalid name.
    #[error("a linked-in cell: {0}")]
    BadName(#[from] NameError),
    /// Two cells that are linked in have one name.
    #[error("two linked-in cells are named `{0}`")]
    Duplicate(CellName),
    /// The spec names a Rust cell that is not linked into this program.
    #[error("no Rust cell `{name}` is linked into this program; {}", hint(.linked, .meant.as_ref()))]
    NotLinkedIn {
        /// The cell that the spec names.
        name: CellName,
        /// The cells that are linked in, in order.
        linked: Vec<CellName>,
        /// The cell that may have been meant.
        meant: Option<CellName>,
    },
    /// No host of this body has the spec's runtime.
    #[error("`{name}` needs the runtime `{runtime}`, this body has {}", .hosted.join(", "))]
    NoHost {
        /// The cell.
        name: CellName,
        /// The runtime that its spec names.
        runtime: &'static str,
        /// The runtimes that this body has.
        hosted: Vec<&'static str>,
    },
    /// The start hook answered with an error.
    #[error("the start hook failed: {0}")]
    Start(#[from] CellError),
    /// The runtime itself failed; one line for the log.
    #[error("{0}")]
    Runtime(String),
}

fn hint(linked: &[CellName], meant: Option<&CellName>) -> String {
    let all = linked.iter().map(CellName::as_str).collect::<Vec<_>>().join(", ");
    match (meant, linked.is_empty()) {
        (Some(meant), _) => format!("did you mean `{meant}`? Linked in: {all}"),
        (None, false) => format!("linked in: {all}"),
        (None, true) => "none is linked in".to_owned(),
    }
}
