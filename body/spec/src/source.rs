//! The text of a file, and the conversion of an offset in it to a line and a column.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

/// A stretch of a file's text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SourceSpan {
    /// Where it starts, from 0.
    pub offset: usize,
    /// Length in bytes; 0 is a place between two characters.
    pub len: usize,
}

impl SourceSpan {
    /// From one offset to another.
    pub(crate) fn between(start: usize, end: usize) -> Self {
        Self { offset: start, len: end.saturating_sub(start) }
    }
}

/// A file of specs: its path as it was given, and its text.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) text: Arc<str>,
    /// The offset of the first byte of every line. Never empty.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(file: PathBuf, text: &str) -> Self {
        Self { file, text: Arc::from(text), lines: line_starts(text) }
    }

    /// The folder that the file stands in.
    pub(crate) fn folder(&self) -> &Path {
        self.file.parent().unwrap_or_else(|| Path::new(""))
    }

    /// The offset at which a line, counted from 1, begins.
    pub(crate) fn line_start(&self, line: usize) -> usize {
        self.lines.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }

    /// Every line with its offset, its break included.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let ends = self.lines.iter().skip(1).copied().chain([self.text.len()]);
        self.lines
            .iter()
            .zip(ends)
            .map(|(start, end)| (*start, self.slice(SourceSpan::between(*start, end))))
    }

    /// Line and column of an offset, both from 1, the column in characters.
    pub(crate) fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let before = self.text.get(self.line_start(line)..offset).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    /// The text of a span; empty where the span does not fit.
    pub(crate) fn slice(&self, span: SourceSpan) -> &str {
        self.text.get(span.offset..span.offset.saturating_add(span.len)).unwrap_or("")
    }
}

/// Where lines begin: after `\n`, `\r\n` and a lone `\r`, as YAML counts them.
fn line_starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((index, byte)) = bytes.next() {
        let pair = byte == b'\r' && matches!(bytes.peek(), Some((_, b'\n')));
        if byte == b'\n' || (byte == b'\r' && !pair) {
            starts.push(index + 1);
        }
    }
    starts
}
