//! Result of a load: every spec, checked on its own and against the others.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use cbs::{CellName, FlowName};
use model::{CellSpec, Deployment, Metadata};

use crate::Diagnostic;

/// All specs of one load, each valid and all of them fitting together; never changed afterwards.
#[derive(Clone, Debug, Default)]
pub struct Specs {
    pub(crate) cells: BTreeMap<CellName, Arc<CellSpec>>,
    pub(crate) flows: BTreeMap<FlowName, Arc<FlowSpec>>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) notes: Vec<Diagnostic>,
}

impl Specs {
    /// The cells, by name.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = &Arc<CellSpec>> {
        self.cells.values()
    }

    /// The flows, by name.
    pub fn flows(&self) -> impl ExactSizeIterator<Item = &Arc<FlowSpec>> {
        self.flows.values()
    }

    /// The cell of this name.
    #[must_use]
    pub fn cell(&self, name: &CellName) -> Option<&Arc<CellSpec>> {
        self.cells.get(name)
    }

    /// The flow of this name.
    #[must_use]
    pub fn flow(&self, name: &FlowName) -> Option<&Arc<FlowSpec>> {
        self.flows.get(name)
    }

    /// The files that were read, in the order of reading.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Notes about files and folders that were not read. They are no mistakes.
    #[must_use]
    pub fn notes(&self) -> &[Diagnostic] {
        &self.notes
    }
}

/// A flow as its spec describes it: planned, its expressions compiled.
#[derive(Clone)]
#[non_exhaustive]
pub struct FlowSpec {
    /// The flow's name.
    pub name: FlowName,
    /// Metadata that every spec has: place, labels, revision.
    pub metadata: Metadata,
    /// Limit of the time of one run, unless its caller gave it less.
    pub timeout: Duration,
    /// Where and whether it runs in a fleet.
    pub deployment: Deployment,
    /// The steps, ready to run.
    pub plan: Arc<flow::Plan>,
}

impl fmt::Debug for FlowSpec {
    /// Without the plan, whose compiled expressions print badly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowSpec")
            .field("name", &self.name)
            .field("metadata", &self.metadata)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
