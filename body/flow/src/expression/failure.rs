//! Reasons why an expression has no value: in words for the caller, with the values for the log.

use std::{
    fmt::{self, Write},
    mem,
};

use jaq_json::{Error, Val};

use super::{
    math::{BY_ZERO, INEXACT},
    natives::{NO_JSON, SPENT, too_large_text},
};

/// Limit of the characters of a failure's values: jaq puts whole values into its errors.
const VALUES_CHARS_MAX: usize = 400;
/// Limit of the bytes of a failure's text in words.
const WORDS_CHARS_MAX: usize = 200;
/// Message instead of an error text that is not known to be harmless.
const UNSAID: &str = "it fails on these values, and the log of the flow's body has them";
/// Texts that jaq's own definitions raise.
const DEFINED: &[&str] = &[
    "cannot parse as number",
    "cannot parse as boolean",
    "split input and separator must be strings",
];

/// The words of jaq's errors, each with its wording in messages. Besides these words, a message
/// holds only operators and kinds of values.
#[rustfmt::skip]
const WORDS: &[(&str, &str)] = &[
    ("array", "a list"), ("as", "as"), ("bounds", "bounds"), ("bytes", "bytes"), ("calculate", "calculate"),
    ("cannot", "cannot"), ("character", "a character"), ("convert", "convert"), ("expression", "expression"),
    ("has", "has"), ("index", "index"), ("input", "input"), ("integer", "a whole number"),
    ("invalid", "invalid"), ("iterable", "iterable"), ("length", "length"), ("no", "no"), ("number", "a number"),
    ("object", "a map"), ("of", "of"), ("or", "or"), ("out", "out"), ("path", "path"), ("rangeable", "rangeable"),
    ("string", "a text"), ("to", "to"), ("use", "use"), ("with", "with"),
];

/// An expression without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Reason of the failure. It holds no part of any value, so it may leave the body.
    pub(crate) message: String,
    /// The error with its values, shortened. Only for the log.
    pub(crate) values: Option<String>,
}

impl Failure {
    /// A failure whose text holds no value.
    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), values: None }
    }

    /// Converts jaq's error. `raised` are the texts that the expression itself gives to `error`.
    pub(super) fn of_jaq(error: Error, raised: &[String]) -> Self {
        let shown = error.into_val();
        let Val::TStr(text) = &shown else {
            let message = format!("it raised an error that is {}", kind(&shown));
            return Self { message, values: Some(cut(&shown)) };
        };
        let text = String::from_utf8_lossy(text);
        if is_harmless(&text, raised) {
            return Self::plain(text);
        }
        let message = match text.strip_prefix("invalid regex") {
            Some(_) => "the regular expression or its flags cannot be read".to_owned(),
            None => in_words(&text).unwrap_or_else(|| UNSAID.to_owned()),
        };
        Self { message, values: Some(cut(&text)) }
    }
}

/// True if a text is the same for all values, so that it holds no part of them.
fn is_harmless(text: &str, raised: &[String]) -> bool {
    [SPENT, NO_JSON, INEXACT, BY_ZERO].contains(&text)
        || DEFINED.contains(&text)
        || text == too_large_text()
        || raised.iter().any(|raised| raised == text)
}

/// The kind of a value, in words.
pub(crate) fn kind(value: &Val) -> &'static str {
    match value {
        Val::Null => "null",
        Val::Bool(_) => "a boolean",
        Val::Num(_) => "a number",
        Val::TStr(_) | Val::BStr(_) => "a text",
        Val::Arr(_) => "a list",
        Val::Obj(_) => "a map",
    }
}

/// The beginning of a text, on one line.
pub(super) fn cut(text: impl fmt::Display) -> String {
    let mut line = Line { text: String::new(), left: VALUES_CHARS_MAX };
    if write!(line, "{text}").is_err() {
        line.text.push('…');
    }
    line.text
}

/// Text with a limit of characters. It refuses more: a large value is never written in full.
struct Line {
    text: String,
    left: usize,
}

impl Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for char in part.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(cbs::sanitize_char(char));
        }
        Ok(())
    }
}

/// Returns jaq's text of an error with each value replaced by its kind: `cannot index {"a":1} with
/// 2` becomes `cannot index a map with a number`. `None` if anything but [`WORDS`] would be left.
fn in_words(text: &str) -> Option<String> {
    let mut words = Words { rest: text, said: String::new() };
    while !words.rest.is_empty() {
        words.next()?;
        if words.said.len() > WORDS_CHARS_MAX {
            return None;
        }
    }
    Some(calculation(&words.said).unwrap_or(words.said))
}

/// Converts `cannot calculate a map + a number` to a sentence.
fn calculation(said: &str) -> Option<String> {
    let sides = said.strip_prefix("cannot calculate ")?;
    let split = |operator: &str| sides.split_once(operator);
    split(" + ")
        .map(|(left, right)| format!("cannot add {left} and {right}"))
        .or_else(|| {
            split(" - ").map(|(left, right)| format!("cannot subtract {right} from {left}"))
        })
        .or_else(|| split(" * ").map(|(left, right)| format!("cannot multiply {left} and {right}")))
        .or_else(|| {
            split(" / ")
                .or_else(|| split(" % "))
                .map(|(left, right)| format!("cannot divide {left} by {right}"))
        })
}

struct Words<'t> {
    rest: &'t str,
    said: String,
}

impl<'t> Words<'t> {
    fn next(&mut self) -> Option<()> {
        let first = self.rest.chars().next()?;
        match first {
            ' ' | '+' | '*' | '/' | '%' | '(' | ')' => {
                self.rest = self.rest.get(1..)?;
                self.said.push(first);
            }
            '-' if !self.rest.get(1..)?.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
                self.rest = self.rest.get(1..)?;
                self.said.push(first);
            }
            '"' => self.value("a text")?,
            '[' => self.value("a list")?,
            '{' => self.value("a map")?,
            '-' | '0'..='9' => {
                self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-'));
                self.said.push_str("a number");
            }
            'b' if self.rest.starts_with("b\"") => {
                self.rest = self.rest.get(1..)?;
                self.value("a text")?;
            }
            _ => match self.take(|c| c.is_ascii_alphabetic()) {
                "true" | "false" => self.said.push_str("a boolean"),
                "null" => self.said.push_str("null"),
                "NaN" | "Infinity" => self.said.push_str("a number"),
                word => self.said.push_str(WORDS.iter().find(|(known, _)| *known == word)?.1),
            },
        }
        Some(())
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        taken
    }

    /// Skips a value that begins with a quote or bracket, and writes its kind.
    fn value(&mut self, kind: &str) -> Option<()> {
        let mut depth = 0_usize;
        let mut is_quoted = false;
        let mut is_escaped = false;
        for (at, byte) in self.rest.bytes().enumerate() {
            if mem::take(&mut is_escaped) {
                continue;
            }
            match byte {
                b'\\' if is_quoted => is_escaped = true,
                b'"' => is_quoted = !is_quoted,
                b'[' | b'{' if !is_quoted => depth += 1,
                b']' | b'}' if !is_quoted => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 && !is_quoted {
                self.rest = self.rest.get(at + 1..)?;
                self.said.push_str(kind);
                return Some(());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
