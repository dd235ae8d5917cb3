//! A field's value, and the types it can be read as. Each read reports a value that does not fit.

use std::{
    collections::BTreeMap, fmt::Display, num::NonZeroU32, ops::RangeInclusive, time::Duration,
};

use serde_json::{Map, Value};

use super::fields::shown;
use crate::{
    bounds, code,
    findings::Findings,
    source::SourceSpan,
    suggest, units,
    yaml::{Content, Node},
};

/// Types of fields in words, for messages.
const TEXT: &str = "a text";
const FLAG: &str = "`true` or `false`";
const COUNT: &str = "a whole number";

/// A value under the name of its field.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) name: &'a str,
    pub(super) node: &'a Node,
    pub(super) findings: &'a Findings,
}

impl<'a> Item<'a> {
    pub(super) fn text(self) -> Option<&'a str> {
        self.text_as(TEXT)
    }

    fn text_as(self, wanted: &str) -> Option<&'a str> {
        match &self.node.content {
            Content::Text(text) => Some(text),
            _ => self.wrong_type(wanted),
        }
    }

    pub(super) fn flag(self) -> Option<bool> {
        match self.node.content {
            Content::Bool(value) => Some(value),
            _ => self.wrong_type(FLAG),
        }
    }

    /// A whole number within a range.
    pub(super) fn count(self, range: &RangeInclusive<u64>) -> Option<u64> {
        let Content::Number(number) = &self.node.content else {
            return self.wrong_type(COUNT);
        };
        if number.is_f64() {
            return self.wrong_type(COUNT);
        }
        self.within(number.as_u64(), number, range, ToString::to_string)
    }

    /// A whole number of workers or processes.
    pub(super) fn processes(self) -> Option<NonZeroU32> {
        self.count(&bounds::PROCESSES)
            .and_then(|count| u32::try_from(count).ok())
            .and_then(NonZeroU32::new)
    }

    pub(super) fn duration(self) -> Option<Duration> {
        const WANTED: &str = "a duration such as `250ms`, `1.5s` or `1m30s`";
        if let Content::Number(number) = &self.node.content {
            let hint = units::duration_hint(&number.to_string());
            return self.report(
                code::BAD_DURATION,
                format!("`{}` must be {WANTED}", self.name),
                Some(hint),
            );
        }
        let text = self.text_as(WANTED)?;
        match units::duration(text) {
            Some(duration) => self.within(Some(duration), text, &bounds::DURATION, |bound| {
                units::duration_text(*bound)
            }),
            None => {
                let message = format!("`{}` is no duration", shown(text));
                self.report(code::BAD_DURATION, message, Some(units::duration_hint(text)))
            }
        }
    }

    /// A number of bytes.
    pub(super) fn size(self, range: &RangeInclusive<u64>) -> Option<u64> {
        const WANTED: &str = "a size such as `64MiB`";
        if let Content::Number(number) = &self.node.content {
            let hint = format!("say the unit, for example `{number}MiB`");
            return self.report(
                code::BAD_SIZE,
                format!("`{}` must be {WANTED}", self.name),
                Some(hint),
            );
        }
        let text = self.text_as(WANTED)?;
        match units::size(text) {
            Some(size) => self.within(Some(size), text, range, |bound| format!("{bound}B")),
            None => {
                let hint =
                    "write a whole number from 1 and `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`";
                self.report(
                    code::BAD_SIZE,
                    format!("`{}` is no size", shown(text)),
                    Some(hint.to_owned()),
                )
            }
        }
    }

    /// Reads one of a few words.
    pub(super) fn word(self, words: &'static [&'static str]) -> Option<&'static str> {
        let wanted = format!("one of {}", words.join(", "));
        let text = self.text_as(&wanted)?;
        match words.iter().find(|word| **word == text) {
            Some(word) => Some(word),
            None => {
                let message = format!("`{}` must be {wanted}, not `{}`", self.name, shown(text));
                let hint = suggest::nearest(text, words.iter().copied());
                self.report(
                    code::BAD_VALUE,
                    message,
                    hint.map(|word| format!("did you mean `{word}`?")),
                )
            }
        }
    }

    /// Reads a name of the crate `cbs`. The hint of a mistake is the rule that the name breaks.
    pub(super) fn name<T>(self, make: impl FnOnce(&str) -> Result<T, cbs::NameError>) -> Option<T> {
        match make(self.text()?) {
            Ok(name) => Some(name),
            Err(error) => {
                let message = format!("`{}` is no {}", shown(&error.text), error.what);
                self.report(code::BAD_NAME, message, Some(error.rule.to_owned()))
            }
        }
    }

    /// The items of a list.
    pub(super) fn list(self, wanted: &str) -> Option<impl Iterator<Item = Item<'a>>> {
        match &self.node.content {
            Content::List(items) => Some(items.iter().map(move |node| Item { node, ..self })),
            _ => self.wrong_type(wanted),
        }
    }

    /// Reads a list of texts. Items that are no texts are reported and left out.
    pub(super) fn texts(self) -> Option<Vec<String>> {
        let items = self.list("a list of texts")?;
        Some(items.filter_map(Item::text).map(str::to_owned).collect())
    }

    /// A map from texts to texts.
    pub(super) fn text_map(self) -> Option<BTreeMap<String, String>> {
        if !matches!(self.node.content, Content::Map(_)) {
            return self.wrong_type("a map from texts to texts");
        }
        let entries = self.node.entries().iter().filter_map(|entry| {
            let item = Item { name: &entry.key, node: &entry.value, findings: self.findings };
            item.text().map(|value| (entry.key.clone(), value.to_owned()))
        });
        Some(entries.collect())
    }

    /// A map of anything.
    pub(super) fn object(self) -> Option<Map<String, Value>> {
        match self.node.to_json() {
            Value::Object(map) if matches!(self.node.content, Content::Map(_)) => Some(map),
            _ => self.wrong_type("a map"),
        }
    }

    /// Returns the value as JSON, whatever its type.
    pub(super) fn json(self) -> Value {
        self.node.to_json()
    }

    /// Reports a mistake of this value.
    pub(super) fn report<T>(
        self,
        code: &'static str,
        message: String,
        hint: Option<String>,
    ) -> Option<T> {
        self.findings.add(self.location(), code, message, hint);
        None
    }

    /// Reports that the value is of another type, unless a mistake of the value is already
    /// reported.
    pub(super) fn wrong_type<T>(self, wanted: &str) -> Option<T> {
        if matches!(self.node.content, Content::Broken) {
            return None;
        }
        let hint = self.hint_of_type(wanted);
        let message = format!("`{}` must be {wanted}, not {}", shown(self.name), self.node.words());
        self.report(code::WRONG_TYPE, message, hint)
    }

    /// Returns a hint for the most common mistakes of type.
    fn hint_of_type(self, wanted: &str) -> Option<String> {
        let written = self.findings.source.slice(self.node.span);
        match &self.node.content {
            Content::Null => Some("write a value, or take the field out".to_owned()),
            Content::Number(_) | Content::Bool(_) if wanted == TEXT => {
                Some(format!("quote it: \"{written}\""))
            }
            Content::Text(text) if wanted == FLAG => match text.to_lowercase().as_str() {
                "yes" | "on" | "true" | "y" => Some("write `true`".to_owned()),
                "no" | "off" | "false" | "n" => Some("write `false`".to_owned()),
                _ => None,
            },
            Content::Text(text) if wanted == COUNT && text.parse::<u64>().is_ok() => {
                Some(format!("write it without quotes: {text}"))
            }
            // In the range of every count.
            _ if wanted == COUNT => Some(format!("for example `{}: 16`", shown(self.name))),
            _ => None,
        }
    }

    /// A number of percent within a range.
    pub(super) fn inside(
        self,
        percent: u64,
        written: &str,
        range: &RangeInclusive<u64>,
    ) -> Option<u64> {
        self.within(Some(percent), written, range, |bound| format!("{bound}%"))
    }

    fn within<T: PartialOrd>(
        self,
        value: Option<T>,
        written: impl Display,
        range: &RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        match value {
            Some(value) if range.contains(&value) => Some(value),
            _ => {
                let message = format!("`{}` is out of range: {written}", self.name);
                let hint = format!("from {} to {}", show(range.start()), show(range.end()));
                self.report(code::OUT_OF_RANGE, message, Some(hint))
            }
        }
    }

    /// Returns the place of the value, or of its key if the value is empty.
    fn location(self) -> SourceSpan {
        if self.node.span.len == 0 { self.node.head } else { self.node.span }
    }
}
