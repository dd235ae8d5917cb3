//! Cuts a file into its documents before parsing, so that a document that is no YAML does not
//! hide the mistakes of those after it.
//!
//! A line that begins with `---` or `...` ends whatever document it stands in, even within a
//! quoted text or a block (YAML 1.2, `c-forbidden`): so the cut needs no parser.

use std::path::PathBuf;

use crate::source::{Source, SourceSpan};

/// Some documents of a file, most often one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    /// Number of lines of the file before this piece.
    pub(super) lines_before: usize,
}

/// Stands at the beginning of files of some editors.
const BYTE_ORDER_MARK: char = '\u{feff}';

pub(super) fn pieces(source: &Source) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut lines_before = 0;
    // Until the first line of content, `---` still belongs to the same piece: directives
    // and comments stand before it.
    let mut prologue = true;
    // Whether a piece says nothing so far.
    let mut is_empty = true;
    let mut cut = |start: &mut usize, lines_before: &mut usize, end: usize, line: usize| {
        let text = source.slice(SourceSpan::between(*start, end));
        pieces.push(Piece { text, lines_before: *lines_before });
        (*start, *lines_before) = (end, line);
    };
    for (index, (offset, line)) in source.lines().enumerate() {
        let unmarked = line.trim_start_matches(BYTE_ORDER_MARK);
        let begins = unmarked.len() < line.len() && (is_empty || is_mark(unmarked, "---"));
        if begins && offset > start {
            // The parser takes the mark at the beginning of its text alone.
            cut(&mut start, &mut lines_before, offset, index);
            (prologue, is_empty) = (true, true);
        }
        let line = if begins { unmarked } else { line };
        if is_mark(line, "---") {
            if !prologue {
                cut(&mut start, &mut lines_before, offset, index);
                is_empty = true;
            }
            prologue = false;
            is_empty &= line.trim() == "---";
        } else if is_mark(line, "...") {
            cut(&mut start, &mut lines_before, offset + line.len(), index + 1);
            (prologue, is_empty) = (true, true);
        } else if !(line.trim().is_empty() || line.starts_with(['#', '%'])) {
            (prologue, is_empty) = (false, false);
        }
    }
    cut(&mut start, &mut lines_before, source.text.len(), 0);
    pieces
}

/// Returns the text of the document that has this line of a file, counted from 1. It begins with
/// its mark `---`, if it has one, and ends before the next mark.
///
/// ```
/// let file = "# greetings\n---\nname: a\n...\nname: b\n";
/// assert_eq!(spec::document_at(file, 3), "---\nname: a\n");
/// assert_eq!(spec::document_at(file, 5), "name: b\n");
/// ```
#[must_use]
pub fn document_at(text: &str, line: usize) -> String {
    let source = Source::new(PathBuf::new(), text);
    let piece = pieces(&source).into_iter().take_while(|piece| piece.lines_before < line).last();
    let text = piece.map(|piece| piece.text.trim_start_matches(BYTE_ORDER_MARK));
    let lines: Vec<&str> = text.unwrap_or_default().lines().collect();
    let start = lines.iter().position(|line| is_mark(line, "---")).unwrap_or(0);
    let lines = lines.into_iter().skip(start).take_while(|line| !is_mark(line, "..."));
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn is_mark(line: &str, mark: &str) -> bool {
    line.strip_prefix(mark)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
}
