//! YAML to checked specs, with every mistake of every file reported at once; JSON Schemas for editors.
mod across;
mod bounds;
mod cell;
mod code;
mod diagnostic;
mod error;
mod files;
mod findings;
mod load;
mod read;
mod render;
mod revision;
mod schema;
mod source;
mod specs;
mod suggest;
mod units;
mod yaml;

pub use bounds::{
    BACKOFF_DEFAULT, BACKOFF_MAX_DEFAULT, CELL_TIMEOUT_DEFAULT, CONCURRENCY_DEFAULT, FLOW_TIMEOUT_DEFAULT,
    QUEUE_DEFAULT,
};
pub use cell::{CellSpec, Isolation, Limits, Program, Python, Route, Runtime, Sidecar, Workers};
pub use code::CODES;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use error::{Error, PathError};
pub use load::{Options, load, load_texts};
pub use schema::{Schema, Violation};
pub use source::Span;
pub use specs::{FlowSpec, Metadata, Specs};

/// The `apiVersion` that this program reads.
pub const API_VERSION: &str = "cbs/v1alpha1";
