//! Rust cells, linked into the program.

use std::{collections::BTreeMap, sync::Arc};

use cbs::{BoxFuture, CellEnv, CellName, DynCell, NativeCell};
use model::{CellSpec, Runtime};

use crate::runtime::{Host, HostError, Started};

/// Similarity of two names from which one is suggested, from 0 to 1 (Jaro-Winkler).
const ALIKE: f64 = 0.8;

/// Hosts the Rust cells that are linked into the program.
///
/// ```
/// # use cbs::{CellContext, CellError};
/// # async fn greet(_: &CellContext, name: String) -> Result<String, CellError> { Ok(name) }
/// let host = host::NativeHost::new([cbs::cell("logic.greet", greet)]).unwrap();
/// assert_eq!(host.names().count(), 1);
///
/// let mistakes = host::NativeHost::new([cbs::cell("Greet", greet)]).err().unwrap();
/// assert_eq!(mistakes.len(), 1);
/// ```
pub struct NativeHost {
    cells: BTreeMap<CellName, Arc<dyn DynCell>>,
}

impl NativeHost {
    /// Returns a host of these cells.
    ///
    /// # Errors
    /// Every bad name and every duplicate.
    pub fn new(cells: impl IntoIterator<Item = NativeCell>) -> Result<Self, Vec<HostError>> {
        let mut named: BTreeMap<CellName, Arc<dyn DynCell>> = BTreeMap::new();
        let mut errors = Vec::new();
        for cell in cells {
            match cell.name().parse::<CellName>() {
                Err(error) => errors.push(HostError::BadName(error)),
                Ok(name) if named.contains_key(&name) => errors.push(HostError::Duplicate(name)),
                Ok(name) => _ = named.insert(name, cell.cell()),
            }
        }
        if errors.is_empty() { Ok(Self { cells: named }) } else { Err(errors) }
    }

    /// Returns the names of the linked cells, in order.
    pub fn names(&self) -> impl Iterator<Item = &CellName> {
        self.cells.keys()
    }

    fn find(&self, name: &CellName) -> Result<&Arc<dyn DynCell>, HostError> {
        self.cells.get(name).ok_or_else(|| {
            let alike = |linked: &CellName| strsim::jaro_winkler(name.as_str(), linked.as_str());
            let meant = self.names().filter(|linked| alike(linked) >= ALIKE);
            HostError::NotLinkedIn {
                name: name.clone(),
                linked: self.names().cloned().collect(),
                meant: meant.max_by(|a, b| alike(a).total_cmp(&alike(b))).cloned(),
            }
        })
    }
}

impl Host for NativeHost {
    fn runtime(&self) -> &'static str {
        Runtime::Rust.as_str()
    }

    fn check(&self, spec: &CellSpec) -> Result<(), HostError> {
        self.find(&spec.name).map(drop)
    }

    fn start<'a>(
        &'a self,
        spec: &'a CellSpec,
        env: &'a CellEnv,
    ) -> BoxFuture<'a, Result<Started, HostError>> {
        Box::pin(async move {
            let cell = self.find(&spec.name)?.clone();
            cell.start(env).await?;
            Ok(Started::new(cell))
        })
    }
}
