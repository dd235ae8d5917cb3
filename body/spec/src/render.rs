//! How a mistake looks in plain text.

use std::fmt::{Formatter, Result};

use crate::Diagnostic;

/// The most characters of a line that are shown.
const LINE_CHARS_MAX: usize = 120;
/// How many characters before the mistake are kept where a line is too long.
const LEAD_CHARS: usize = 40;

/// `file:line:column: message [code]`, the line with a caret below, and the hint.
pub(crate) fn plain(diagnostic: &Diagnostic, f: &mut Formatter<'_>) -> Result {
    let file = diagnostic.file.display();
    match snippet(diagnostic) {
        None => write!(f, "{file}: {} [{}]", diagnostic.message, diagnostic.code)?,
        Some(snippet) => {
            let (line, column) = (diagnostic.line, diagnostic.column);
            let margin = line.to_string().len();
            writeln!(f, "{file}:{line}:{column}: {} [{}]", diagnostic.message, diagnostic.code)?;
            writeln!(f, " {line} | {}", snippet.line)?;
            write!(f, " {:margin$} | {:lead$}{}", "", "", "^".repeat(snippet.len), lead = snippet.lead)?;
        }
    }
    match &diagnostic.hint {
        Some(hint) => write!(f, "\nhint: {hint}"),
        None => Ok(()),
    }
}

/// A line, and where in it the mistake stands, in characters.
struct Snippet {
    line: String,
    lead: usize,
    len: usize,
}

fn snippet(diagnostic: &Diagnostic) -> Option<Snippet> {
    let text = diagnostic.source_text()?;
    let offset = diagnostic.span.offset.min(text.len());
    let before = text.get(..offset)?;
    let start = before.rfind(['\n', '\r']).map_or(0, |index| index + 1);
    let rest = text.get(start..)?;
    let line = rest.split(['\n', '\r']).next().unwrap_or(rest);
    let lead = before.get(start..)?.chars().count();
    let marked = rest.get(offset - start..).map_or("", |marked| marked.get(..diagnostic.span.len).unwrap_or(marked));
    let marked = marked.split(['\n', '\r']).next().unwrap_or(marked).trim_end();
    Some(cut(line, lead, marked.chars().count()))
}

/// Keeps the part of the line around the mistake; tabs and other controls become blanks, so that
/// the caret stands right and a terminal obeys nothing that a file says.
fn cut(line: &str, lead: usize, len: usize) -> Snippet {
    let skipped = if line.chars().count() > LINE_CHARS_MAX { lead.saturating_sub(LEAD_CHARS) } else { 0 };
    let line: String =
        line.chars().skip(skipped).take(LINE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let lead = lead - skipped;
    let room = line.chars().count().saturating_sub(lead);
    Snippet { line: line.trim_end().to_owned(), lead, len: len.min(room).max(1) }
}
