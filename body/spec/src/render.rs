//! Writes a mistake as plain text.

use std::fmt::{Formatter, Result};

use cbs::sanitize_char;

use crate::Diagnostic;

/// Limit of the characters of a line that are shown.
const LINE_CHARS_MAX: usize = 120;
/// Number of characters before the mistake that are kept if a line is too long.
const LEAD_CHARS: usize = 40;

/// `file:line:column: message [code]`, the line with a caret below, and the hint.
pub(crate) fn plain(diagnostic: &Diagnostic, f: &mut Formatter<'_>) -> Result {
    let file = diagnostic.file.display();
    match snippet(diagnostic) {
        None => write!(f, "{file}: {} [{}]", diagnostic.message, diagnostic.code)?,
        Some(snippet) => {
            let line = diagnostic.line;
            let column = diagnostic.column;
            let margin = line.to_string().len();
            writeln!(f, "{file}:{line}:{column}: {} [{}]", diagnostic.message, diagnostic.code)?;
            writeln!(f, " {line} | {}", snippet.line)?;
            write!(
                f,
                " {:margin$} | {:lead$}{}",
                "",
                "",
                "^".repeat(snippet.len),
                lead = snippet.lead
            )?;
        }
    }
    match &diagnostic.hint {
        Some(hint) => write!(f, "\nhint: {hint}"),
        None => Ok(()),
    }
}

/// A line, and the place of the mistake in it, in characters.
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
    let lead = before.get(start..)?.chars().count();
    let marked = rest.get(offset - start..)?;
    let marked = marked.get(..diagnostic.span.len).unwrap_or(marked);
    Some(cut(rest, lead, marked))
}

/// Returns the start of a text for use inside a message: so many characters at most, on one line.
pub(crate) fn start_of(text: &str, chars_max: usize) -> String {
    let start: String = text.chars().take(chars_max).map(sanitize_char).collect();
    if text.chars().nth(chars_max).is_some() { format!("{start}…") } else { start }
}

/// The characters up to the end of the line.
fn line(text: &str) -> impl Iterator<Item = char> {
    text.chars().take_while(|c| !matches!(c, '\n' | '\r'))
}

/// Keeps the part of the line around the mistake. Tabs and other control characters become blanks,
/// so that the caret stands right and a file cannot send commands to a terminal. The line is never
/// counted to its end: it may be a megabyte long and have hundreds of mistakes.
fn cut(rest: &str, lead: usize, marked: &str) -> Snippet {
    let is_long = line(rest).nth(LINE_CHARS_MAX).is_some();
    let skipped = if is_long { lead.saturating_sub(LEAD_CHARS) } else { 0 };
    let shown = line(rest).skip(skipped).take(LINE_CHARS_MAX).map(sanitize_char);
    let shown: String = shown.collect();
    let lead = lead - skipped;
    let marked: String = line(marked).take(shown.chars().count().saturating_sub(lead)).collect();
    Snippet {
        line: shown.trim_end().to_owned(),
        lead,
        len: marked.trim_end().chars().count().max(1),
    }
}
