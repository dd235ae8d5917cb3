//! A mistake with its place, and the list of all of them.

use std::{fmt, path::PathBuf, sync::Arc};

use model::CellSpec;
use serde::Serialize;

use crate::{
    render,
    source::{Source, SourceSpan},
};

/// One mistake: what, where, and how to mend it.
///
/// [`Display`](fmt::Display) prints it in plain text over several lines, with the line of the
/// file that it stands in; as JSON it has every field but the source text.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// A stable code, for example `spec-unknown-field`: see [`CODES`](crate::CODES).
    pub code: &'static str,
    /// Description of the mistake, one line.
    pub message: String,
    /// Hint how to mend it, one line.
    pub hint: Option<String>,
    /// The file, as it was given or found.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The stretch of the text that is meant, in bytes.
    pub span: SourceSpan,
    #[serde(skip)]
    text: Option<Arc<str>>,
}

impl Diagnostic {
    /// A mistake in a file whose text is at hand.
    pub(crate) fn in_source(
        source: &Source,
        span: SourceSpan,
        code: &'static str,
        message: String,
    ) -> Self {
        let (line, column) = source.line_and_column(span.offset);
        let file = source.file.clone();
        let text = Some(Arc::clone(&source.text));
        Self { code, message, hint: None, file, line, column, span, text }
    }

    /// A mistake of a file or folder as a whole.
    pub(crate) fn of_file(file: PathBuf, code: &'static str, message: String) -> Self {
        Self {
            code,
            message,
            hint: None,
            file,
            line: 1,
            column: 1,
            span: SourceSpan::default(),
            text: None,
        }
    }

    /// The same with a hint.
    pub(crate) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// The whole text of the file; `None` where it could not be read or is a folder.
    #[must_use]
    pub fn source_text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

impl PartialEq for Diagnostic {
    /// True if both report the same mistake at the same place.
    fn eq(&self, other: &Self) -> bool {
        (self.code, &self.message, &self.hint, &self.file, self.span)
            == (other.code, &other.message, &other.hint, &other.file, other.span)
    }
}

impl Eq for Diagnostic {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render::plain(self, f)
    }
}

/// Every mistake of a load, by file in the order of reading and by place in the file.
///
/// [`Display`](fmt::Display) prints them all with an empty line between.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Diagnostics {
    pub(crate) list: Vec<Diagnostic>,
    #[serde(skip)]
    pub(crate) notes: Vec<Diagnostic>,
    #[serde(skip)]
    pub(crate) cells: Vec<Arc<CellSpec>>,
}

impl Diagnostics {
    /// The mistakes.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Notes about files and folders that were not read. They may be the cause of the mistakes.
    #[must_use]
    pub fn notes(&self) -> &[Diagnostic] {
        &self.notes
    }

    /// The cells whose own specs could be read, so that the files they name can be checked as well.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = &Arc<CellSpec>> {
        self.cells.iter()
    }

    /// Number of mistakes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True if there are no mistakes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.list.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{diagnostic}")?;
        }
        Ok(())
    }
}
