//! Expressions: `${ … }`, jq by jaq, compiled once and bounded.

mod allowed;
mod engine;
mod functions;
mod meter;
mod names;
mod natives;
mod reads;
mod syntax;
mod value;
mod walk;

use std::{borrow::Cow, fmt, iter, sync::OnceLock};

use cbs::Text;
use jaq_core::{load::parse::Term as Tree, path::Part};
use jaq_json::{Map, Val};
use serde_json::Value;

pub(crate) use self::names::Names;
use self::{engine::Program, reads::Reads, syntax::Term};

/// A mistake in an expression: a [`Problem`](crate::Problem) without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Mistake {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A value and, once an expression needed it, the same in jaq's form.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) value: Value,
    jaq: OnceLock<Val>,
}

impl Stored {
    pub(crate) fn new(value: Value) -> Self {
        Self { value, jaq: OnceLock::new() }
    }

    fn jaq(&self) -> Val {
        self.jaq.get_or_init(|| value::to_jaq(&self.value)).clone()
    }
}

/// What an expression reads when it is run.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) names: &'a [Text],
    pub(crate) input: &'a Stored,
    /// The steps' values, in the order of `names`; those that are done have one.
    pub(crate) steps: &'a [Option<Stored>],
    pub(crate) item: Option<(&'a Value, u32)>,
    pub(crate) error: Option<&'a Value>,
}

/// A checked and compiled expression.
pub(crate) struct Expression {
    code: Text,
    kind: Kind,
}

enum Kind {
    /// `.input.a.b`, `.steps.x`: taken as it is, the commonest and quickest.
    Plain { root: Root, keys: Vec<String> },
    /// Everything else.
    Jq { program: Box<Program>, reads: Reads },
}

#[derive(Clone, Copy)]
enum Root {
    Input,
    Step(usize),
    Item,
    Index,
    Error,
}

impl Expression {
    /// Reads, checks and compiles the text between `${` and `}`.
    ///
    /// # Errors
    /// Every mistake that can be found at once.
    pub(crate) fn new(code: &str, names: &Names<'_>) -> Result<Self, Vec<Mistake>> {
        let code = code.trim();
        let term = syntax::parse(code).map_err(|mistake| vec![mistake])?;
        let mut mistakes = Vec::new();
        allowed::check(&term, &mut mistakes);
        let reads = reads::reads(&term, names, &mut mistakes);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let kind = match plain(&term, names) {
            Some(kind) => kind,
            None => Kind::Jq { program: Box::new(Program::compile(term).map_err(|mistake| vec![mistake])?), reads },
        };
        Ok(Self { code: Text::from(code), kind })
    }

    /// Whether a text is jq at all.
    pub(crate) fn is_readable(code: &str) -> bool {
        syntax::parse(code).is_ok()
    }

    /// The expression's value.
    ///
    /// # Errors
    /// One line that names the expression and says why it has no value.
    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, String> {
        let value = match &self.kind {
            Kind::Plain { root, keys } => take(*root, keys, scope),
            Kind::Jq { program, reads } => program.run(reads.root(scope)).and_then(|value| value::from_jaq(&value)),
        };
        value.map_err(|reason| format!("`${{ {} }}`: {reason}", shortened(&self.code)))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{ {} }}", self.code)
    }
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// A term that is a root and the names below it, and nothing else.
fn plain(term: &Term<'_>, names: &Names<'_>) -> Option<Kind> {
    let Tree::Path(start, path) = term else { return None };
    if !matches!(**start, Tree::Id) {
        return None;
    }
    let keys = path.0.iter().map(|(part, optional)| match (part, optional) {
        (Part::Index(index), jaq_core::path::Opt::Essential) => syntax::literal(index),
        _ => None,
    });
    let mut keys = keys.collect::<Option<Vec<String>>>()?.into_iter();
    let root = match keys.next()?.as_str() {
        "input" => Root::Input,
        "item" => Root::Item,
        "index" => Root::Index,
        "error" => Root::Error,
        "steps" => {
            let step = keys.next()?;
            Root::Step(names.steps.iter().position(|name| **name == *step)?)
        }
        _ => return None,
    };
    Some(Kind::Plain { root, keys: keys.collect() })
}

/// What jq gives for such a path: `null` where a name is missing, an error below what has no names.
fn take(root: Root, keys: &[String], scope: &Scope<'_>) -> Result<Value, String> {
    let index;
    let start = match root {
        Root::Input => Some(&scope.input.value),
        Root::Step(step) => scope.steps.get(step).and_then(Option::as_ref).map(|stored| &stored.value),
        Root::Item => scope.item.map(|(item, _)| item),
        Root::Index => {
            index = scope.item.map_or(Value::Null, |(_, index)| Value::from(index));
            Some(&index)
        }
        Root::Error => scope.error,
    };
    let mut value = start.unwrap_or(&Value::Null);
    for key in keys {
        value = match value {
            Value::Object(entries) => entries.get(key).unwrap_or(&Value::Null),
            Value::Null => &Value::Null,
            Value::Bool(_) | Value::Number(_) => return Err(format!("cannot index {value} with \"{key}\"")),
            Value::String(_) => return Err(format!("cannot index a text with \"{key}\"")),
            Value::Array(_) => return Err(format!("cannot index a list with \"{key}\"")),
        };
    }
    Ok(value.clone())
}

impl Reads {
    /// The root that an expression sees: no more than it reads.
    fn root(&self, scope: &Scope<'_>) -> Val {
        let steps = self.steps.iter().filter_map(|index| {
            let stored = scope.steps.get(*index)?.as_ref()?;
            Some((value::text_to_jaq(scope.names.get(*index)?), stored.jaq()))
        });
        let steps = Val::obj(steps.collect::<Map>());
        let input = self.input.then(|| ("input", scope.input.jaq()));
        let item = self.item.then_some(scope.item).flatten();
        let item = item.map(|(item, index)| [("item", value::to_jaq(item)), ("index", Val::from(index as usize))]);
        let error = self.error.then_some(scope.error).flatten().map(|error| ("error", value::to_jaq(error)));
        let roots =
            input.into_iter().chain(iter::once(("steps", steps))).chain(item.into_iter().flatten()).chain(error);
        Val::obj(roots.map(|(name, value)| (value::text_to_jaq(name), value)).collect::<Map>())
    }
}

#[cfg(test)]
mod tests;
