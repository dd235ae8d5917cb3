//! Templates: JSON in which any text may be an expression `${ … }`.

use serde_json::Value;

use crate::{
    Json, PathPart, Problem,
    expression::{Expression, Failure, Mistake, Names, Scope},
};

/// A template whose expressions are compiled.
#[derive(Debug)]
pub(crate) enum Template {
    /// A value without expressions.
    Fixed(Value),
    /// One expression.
    Computed(Expression),
    /// A list in which something is computed.
    List(Vec<Template>),
    /// A map in which something is computed.
    Map(Vec<(String, Template)>),
}

impl Template {
    /// Compiles a template. Mistakes go to `problems`, with their place below `path`.
    pub(crate) fn new(
        value: &Value,
        names: &Names<'_>,
        path: &[PathPart],
        problems: &mut Vec<Problem>,
    ) -> Self {
        match value {
            Value::String(text) => match code(text) {
                Ok(None) => Self::Fixed(value.clone()),
                Ok(Some(code)) => match Expression::new(code, names) {
                    Ok(expression) => Self::Computed(expression),
                    Err(mistakes) => {
                        problems.extend(mistakes.into_iter().map(|mistake| mistake.at(path)));
                        Self::Fixed(Value::Null)
                    }
                },
                Err(mistake) => {
                    problems.push(mistake.at(path));
                    Self::Fixed(Value::Null)
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    Self::new(item, names, &below(path, PathPart::Index(index)), problems)
                });
                Self::folded_list(items.collect())
            }
            Value::Object(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    let path = below(path, PathPart::Key(key.clone()));
                    if key.contains("${") {
                        problems.push(
                            Mistake::new("flow-syntax", "a key is no expression")
                                .hint(KEY_HINT)
                                .at(&path),
                        );
                    }
                    (key.clone(), Self::new(value, names, &path, problems))
                });
                Self::folded_map(entries.collect())
            }
            other => Self::Fixed(other.clone()),
        }
    }

    fn folded_list(items: Vec<Self>) -> Self {
        let fixed = items.iter().map(|item| match item {
            Self::Fixed(value) => Some(value.clone()),
            _ => None,
        });
        match fixed.collect::<Option<Vec<Value>>>() {
            Some(values) => Self::Fixed(Value::Array(values)),
            None => Self::List(items),
        }
    }

    fn folded_map(entries: Vec<(String, Self)>) -> Self {
        let fixed = entries.iter().map(|(key, entry)| match entry {
            Self::Fixed(value) => Some((key.clone(), value.clone())),
            _ => None,
        });
        match fixed.collect::<Option<_>>() {
            Some(values) => Self::Fixed(Value::Object(values)),
            None => Self::Map(entries),
        }
    }

    /// The template's value.
    ///
    /// # Errors
    /// Names the expression that has no value, and the reason.
    pub(crate) fn fill(&self, scope: &Scope<'_>) -> Result<Json, Failure> {
        match self {
            Self::Fixed(value) => Ok(Json::from(value.clone())),
            Self::Computed(expression) => expression.evaluate(scope),
            Self::List(items) => {
                let items =
                    items.iter().map(|item| item.fill(scope)).collect::<Result<Vec<_>, _>>()?;
                Ok(Json::list(&items))
            }
            Self::Map(entries) => {
                let entries =
                    entries.iter().map(|(key, entry)| Ok((key.as_str(), entry.fill(scope)?)));
                Ok(Json::map(entries.collect::<Result<Vec<_>, Failure>>()?))
            }
        }
    }
}

impl Mistake {
    /// The mistake with its place.
    pub(crate) fn at(self, path: &[PathPart]) -> Problem {
        Problem { path: path.to_vec(), code: self.code, message: self.message, hint: self.hint }
    }
}

/// A path with one part more.
pub(crate) fn below(path: &[PathPart], part: PathPart) -> Vec<PathPart> {
    path.iter().cloned().chain([part]).collect()
}

const KEY_HINT: &str = "make the whole map one expression: `${ {(.input.key): .input.value} }`";
const WHOLE_HINT: &str = "an expression is the whole text; put text into it with jq: `${ \"Hello, \\(.input.name)\" }` (a plain `${` is `${ \"${\" }`)";

/// The code of a text that is wholly an expression; `None` for a text without any.
pub(crate) fn code(text: &str) -> Result<Option<&str>, Mistake> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mixed = || {
        Mistake::new("flow-interpolation", "the text holds `${`, and is not one expression")
            .hint(WHOLE_HINT)
    };
    let inner = text.trim().strip_prefix("${").ok_or_else(mixed)?;
    let code = inner.strip_suffix('}').ok_or_else(mixed)?;
    // `${ .a } and ${ .b }` begins and ends like one expression.
    if code.contains("${") && !Expression::is_readable(code) {
        Err(mixed())
    } else {
        Ok(Some(code))
    }
}

#[cfg(test)]
mod tests;
