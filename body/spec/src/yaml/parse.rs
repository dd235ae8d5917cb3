//! Builds trees from the parser's events.
//!
//! Nothing here recurses and nothing grows beyond the text: nesting is bounded, aliases are
//! refused, and the caller has bounded the text.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Marks, Tag};

use super::{
    Content, Entry, Node,
    pieces::{Piece, pieces},
    scalar, tabs,
};
use crate::{
    code,
    findings::Findings,
    source::{Source, SourceSpan},
};

/// Limit of the nesting levels of a document. Specs need about eight.
pub(crate) const DEPTH_MAX: usize = 64;

/// The documents of a file that are not empty, as far as they can be read.
pub(crate) fn documents(findings: &Findings) -> Vec<Node> {
    let mut documents = Vec::new();
    for piece in pieces(&findings.source) {
        let mut builder = Builder {
            findings,
            places: Offsets::new(&findings.source, piece.lines_before),
            open: Vec::new(),
            done: &mut documents,
        };
        builder.piece(piece);
    }
    documents.retain(|document| !matches!(document.content, Content::Null));
    documents
}

/// A list or map that is not yet at its end.
struct Open {
    start: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, usize>, key: Option<Key> },
}

/// The key whose value comes next; `text` is `None` where the key could not be read.
struct Key {
    text: Option<String>,
    span: SourceSpan,
}

struct Builder<'a> {
    findings: &'a Findings,
    places: Offsets<'a>,
    open: Vec<Open>,
    done: &'a mut Vec<Node>,
}

impl Builder<'_> {
    fn piece(&mut self, piece: Piece<'_>) {
        let text = tabs::separated(piece.text);
        let mut parser = Parser::new_from_str(&text);
        while let Some(next) = parser.next_event() {
            match next {
                Ok((event, marks)) => {
                    if !self.event(event, marks) {
                        break;
                    }
                }
                Err(error) => {
                    let place = SourceSpan { offset: self.places.offset(*error.marker()), len: 0 };
                    let hint = match error.info() {
                        tabs::REFUSED => "a tab follows the colon: write a blank",
                        info if info.contains("byte order mark") => {
                            "an invisible byte order mark (BOM) stands here: delete it, or write `---` before it"
                        }
                        _ => {
                            "look for a bracket, quote, colon or indentation that is amiss here or above"
                        }
                    };
                    self.findings.add(
                        place,
                        code::SYNTAX,
                        format!("no YAML: {}", error.info()),
                        hint.to_owned(),
                    );
                    break;
                }
            }
        }
    }

    /// Handles one event. Returns `false` if the piece ends here.
    fn event(&mut self, event: Event<'_>, marks: Marks) -> bool {
        let span = self.places.span(marks);
        match event {
            Event::Scalar(text, style, _, tag) => self.scalar(&text, style, tag.as_deref(), span),
            Event::Alias(_) => {
                let hint = "write the value out where it is meant";
                self.findings.add(span, code::ALIAS, "specs have no aliases", hint.to_owned());
                self.close(Content::Broken, span);
            }
            Event::SequenceStart(_, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                return self.begin(Kind::List(Vec::new()), span);
            }
            Event::MappingStart(_, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                return self.begin(
                    Kind::Map { entries: Vec::new(), seen: HashMap::new(), key: None },
                    span,
                );
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        true
    }

    fn begin(&mut self, kind: Kind, span: SourceSpan) -> bool {
        if self.open.len() >= DEPTH_MAX {
            let message = format!(
                "nested more than {DEPTH_MAX} levels deep: the rest of the document is not read"
            );
            self.findings.add(
                span,
                code::TOO_DEEP,
                message,
                "say it with fewer brackets".to_owned(),
            );
            return false;
        }
        self.open.push(Open { start: span.offset, kind });
        true
    }

    fn end(&mut self, span: SourceSpan) {
        if let Some(open) = self.open.pop() {
            let content = match open.kind {
                Kind::List(items) => Content::List(items),
                Kind::Map { entries, .. } => Content::Map(entries),
            };
            self.close(content, SourceSpan::between(open.start, span.offset + span.len));
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: SourceSpan) {
        if let Some(Open { kind: Kind::Map { key: key @ None, .. }, .. }) = self.open.last_mut() {
            *key = Some(Key { text: Some(text.to_owned()), span });
            return;
        }
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !is_text {
            self.refuse_tag(tag, span);
        }
        let content = if is_text || style != ScalarStyle::Plain {
            Content::Text(text.to_owned())
        } else {
            scalar::resolve(text).unwrap_or_else(|scalar::NoJsonNumber| {
                let hint = format!("quote it if it is a text: \"{text}\"");
                self.findings.add(
                    span,
                    code::NUMBER,
                    format!("`{text}` is a number that JSON cannot carry"),
                    hint,
                );
                Content::Broken
            })
        };
        self.close(content, span);
    }

    fn refuse_tag(&self, tag: Option<&Tag>, span: SourceSpan) {
        if let Some(tag) = tag {
            let handle = if tag.is_yaml_core_schema() { "!!" } else { &tag.handle };
            let message = format!("specs have no tags such as `{handle}{}`", tag.suffix);
            self.findings.add(
                span,
                code::TAG,
                message,
                "take it out; quote a value that is a text".to_owned(),
            );
        }
    }

    /// Puts a complete value into the list or map around it, or into the documents.
    fn close(&mut self, content: Content, span: SourceSpan) {
        let head = head(&self.findings.source, &content, span);
        let node = Node { content, span, head };
        match self.open.last_mut() {
            None => self.done.push(node),
            Some(Open { kind: Kind::List(items), .. }) => items.push(node),
            Some(Open { kind: Kind::Map { entries, seen, key }, .. }) => match key.take() {
                Some(next) => enter(self.findings, entries, seen, next, node),
                None => {
                    let hint = "write the key as one text on one line".to_owned();
                    self.findings.add(
                        span,
                        code::KEY,
                        format!("a key must be a text, not {}", node.words()),
                        hint,
                    );
                    *key = Some(Key { text: None, span });
                }
            },
        }
    }
}

/// Puts a value under its key; the first of two equal keys stays.
fn enter(
    findings: &Findings,
    entries: &mut Vec<Entry>,
    seen: &mut HashMap<String, usize>,
    key: Key,
    mut value: Node,
) {
    let Some(text) = key.text else { return };
    if text.is_empty() {
        findings.add(key.span, code::KEY, "a key is empty", "give it a name".to_owned());
    } else if let Some(first) = seen.get(&text) {
        let (line, _) = findings.source.line_and_column(*first);
        let hint = format!("it stands in line {line} already: keep one of the two");
        findings.add(key.span, code::DUPLICATE_KEY, format!("`{text}` stands here twice"), hint);
    } else {
        value.head = key.span;
        seen.insert(text.clone(), key.span.offset);
        entries.push(Entry { key: text, key_span: key.span, value });
    }
}

/// Returns the place to point at for a value without a key: its first key or its opening bracket.
fn head(source: &Source, content: &Content, span: SourceSpan) -> SourceSpan {
    // A byte order mark may stand before the first key: a character of three bytes.
    let first = source.text.get(span.offset..).and_then(|text| text.chars().next());
    let one = SourceSpan { len: span.len.min(first.map_or(0, char::len_utf8)), ..span };
    match content {
        Content::Map(entries) => match entries.first() {
            Some(first) if first.key_span.offset == span.offset => first.key_span,
            _ => one,
        },
        Content::List(_) => one,
        _ => span,
    }
}

/// Converts the parser's lines and columns to offsets in the file. Marks come nearly in order, so
/// it continues from the last one and does not count a long line again and again.
struct Offsets<'a> {
    source: &'a Source,
    lines_before: usize,
    line: usize,
    column: usize,
    offset: usize,
}

impl<'a> Offsets<'a> {
    fn new(source: &'a Source, lines_before: usize) -> Self {
        Self { source, lines_before, line: 0, column: 0, offset: 0 }
    }

    fn span(&mut self, marks: Marks) -> SourceSpan {
        let start = self.offset(marks.start);
        SourceSpan::between(start, self.offset(marks.end))
    }

    fn offset(&mut self, mark: Marker) -> usize {
        let line = self.lines_before + mark.line();
        if line != self.line || mark.col() < self.column {
            (self.line, self.column, self.offset) = (line, 0, self.source.line_start(line));
        }
        let rest = self.source.text.get(self.offset..).unwrap_or("");
        let ahead: usize = rest.chars().take(mark.col() - self.column).map(char::len_utf8).sum();
        self.column = mark.col();
        self.offset += ahead;
        self.offset
    }
}
