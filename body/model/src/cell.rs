//! A checked spec of `kind: Cell`.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, sync::Arc};

use cbs::CellName;
use serde_json::{Map, Value};

use crate::{CallPolicy, Deployment, Metadata, Schema};

/// A cell as its spec describes it: checked, with defaults filled in, never changed afterwards.
#[derive(Clone, Debug)]
pub struct CellSpec {
    /// The cell's name.
    pub name: CellName,
    /// Metadata that every spec has: place, labels, revision.
    pub metadata: Metadata,
    /// Semantic version of the cell, shown everywhere.
    pub version: Option<semver::Version>,
    /// The language and the settings that only this language needs.
    pub runtime: Runtime,
    /// Schema of a call's payload; checked before the cell runs.
    pub input: Option<Arc<dyn Schema>>,
    /// Schema of an answer's payload; checked after the cell ran.
    pub output: Option<Arc<dyn Schema>>,
    /// Policy of its calls: limits, retries, and the route.
    pub policy: CallPolicy,
    /// A map that the cell reads; empty unless given.
    pub config: Map<String, Value>,
    /// Where and whether it runs in a fleet.
    pub deployment: Deployment,
}

impl CellSpec {
    /// The language of the cell: `rust`, `python`, `dart` or `exec`.
    #[must_use]
    pub fn language(&self) -> &'static str {
        self.runtime.as_str()
    }
}

/// Runtime of a cell, with the fields that only this runtime has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Linked into the body.
    Rust,
    /// A function of a Python file.
    Python(Python),
    /// A process written in Dart.
    Dart(Sidecar),
    /// Any executable that speaks the sidecar protocol; its program is always a command.
    Exec(Sidecar),
}

impl Runtime {
    /// The word that the spec uses: `rust`, `python`, `dart` or `exec`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python(_) => "python",
            Self::Dart(_) => "dart",
            Self::Exec(_) => "exec",
        }
    }
}

/// A cell in Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// The file, as seen from the working folder.
    pub file: PathBuf,
    /// The function in the file.
    pub function: String,
    /// In the body's own interpreter or in processes of its own.
    pub isolation: Isolation,
    /// Number of lanes or processes.
    pub workers: Workers,
    /// Environment on top of the body's; empty unless `isolation: process`.
    pub env: BTreeMap<String, String>,
}

/// A cell in processes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// Program that is started.
    pub program: Program,
    /// Number of processes of the program.
    pub instances: NonZeroU32,
    /// Limits of one process.
    pub limits: Limits,
    /// Environment on top of the body's.
    pub env: BTreeMap<String, String>,
}

/// Program that a sidecar is started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A source file that the host compiles or runs, as seen from the working folder.
    Source(PathBuf),
    /// A program and its arguments, never empty. A program with a `/` is a file as seen from
    /// the working folder, one without is looked up in `PATH`.
    Command(Vec<String>),
}

/// Limits of one process; `None`: the body sets no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
}

/// Where a Python cell runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// In the body's interpreter.
    #[default]
    Shared,
    /// In processes of its own.
    Process,
}

/// Number of workers of a Python cell: `min` at start, up to `max` under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Number of workers at start, 1 or more.
    pub min: NonZeroU32,
    /// Limit of the workers, `min` or more.
    pub max: NonZeroU32,
}
