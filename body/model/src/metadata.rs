//! Metadata of a spec.

use std::{collections::BTreeMap, path::PathBuf};

/// Metadata that every spec has, a cell's and a flow's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The file that the spec stands in.
    pub file: PathBuf,
    /// The line of the file, from 1, that the spec's document starts at.
    pub line: usize,
    /// Purpose of the spec, in a sentence.
    pub description: Option<String>,
    /// Labels for selecting specs.
    pub labels: BTreeMap<String, String>,
    /// Annotations for tools; the body never reads them.
    pub annotations: BTreeMap<String, String>,
    /// Hash of the document's content, 12 hexadecimal digits. Comments, order of keys, layout and
    /// the fields of the deployment do not change it; anything else does.
    pub revision: String,
}
