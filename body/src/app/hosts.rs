//! What this program can host.

use std::sync::Arc;

use cbs::NativeCell;
use host::{Host, NativeHost};
use spec::CellSpec;

use crate::exit::Failure;

/// A host for each runtime.
#[derive(Clone)]
pub(crate) struct Hosts(Vec<Arc<dyn Host>>);

/// A host for each runtime: Rust with these cells.
///
/// # Errors
/// When a linked-in cell has a bad name, or two have one.
pub(crate) fn hosts(cells: Vec<NativeCell>) -> Result<Hosts, Failure> {
    let native = NativeHost::new(cells)
        .map_err(|errors| Failure::failed(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    Ok(Hosts(vec![Arc::new(native)]))
}

impl Hosts {
    pub(crate) fn all(&self) -> &[Arc<dyn Host>] {
        &self.0
    }

    /// Why a cell cannot run here; `None` where it can.
    pub(crate) fn unfit(&self, spec: &CellSpec) -> Option<String> {
        match self.0.iter().find(|host| host.runtime() == spec.language()) {
            None => Some(format!("this program hosts no {}", spec.language())),
            Some(host) => host.check(spec).err().map(|error| error.to_string()),
        }
    }

    /// What tells one version of a cell's code from another; `None` for what is linked in.
    pub(crate) fn code(&self, _spec: &CellSpec) -> Option<String> {
        None
    }
}
