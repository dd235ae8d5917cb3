//! Metadata of a spec.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

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

/// Returns the folder that a file is in; `.` for a mere name.
///
/// ```
/// use std::path::Path;
/// assert_eq!(model::folder_of(Path::new("cells/greet.yaml")), Path::new("cells"));
/// assert_eq!(model::folder_of(Path::new("greet.yaml")), Path::new("."));
/// ```
#[must_use]
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
