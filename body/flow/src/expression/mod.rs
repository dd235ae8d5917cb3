//! Expressions `${ … }`: jq, run by jaq, compiled once, with limits.

mod allowed;
mod engine;
mod failure;
mod functions;
mod math;
mod meter;
mod names;
mod natives;
mod reads;
mod syntax;
mod value;
mod walk;

use std::{borrow::Cow, fmt, iter};

use cbs::Text;
use jaq_core::{load::parse::Term as Tree, path::Part};
use jaq_json::{Map, Val};

use crate::Json;

use self::{engine::Program, failure::cut, reads::Reads, syntax::Term};
pub(crate) use self::{
    failure::{Failure, kind},
    names::Names,
};

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

/// Values that an expression can read when it is run.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) names: &'a [Text],
    pub(crate) input: &'a Json,
    /// Values of the steps, in the order of `names`. Steps that are done have one.
    pub(crate) steps: &'a [Option<Json>],
    pub(crate) item: Option<(&'a Val, u32)>,
    pub(crate) error: Option<&'a Json>,
}

/// A checked and compiled expression.
pub(crate) struct Expression {
    code: Text,
    kind: Kind,
}

enum Kind {
    /// Path such as `.input.a.b` or `.steps.x`: the value is copied unchanged. The most common and
    /// fastest kind.
    Plain { root: Root, keys: Vec<Val> },
    /// Every other expression.
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
    /// Returns all mistakes that can be found at once.
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
            None => Kind::Jq {
                program: Box::new(Program::compile(term).map_err(|mistake| vec![mistake])?),
                reads,
            },
        };
        Ok(Self { code: Text::from(code), kind })
    }

    /// True if a text is valid jq.
    pub(crate) fn is_readable(code: &str) -> bool {
        syntax::parse(code).is_ok()
    }

    /// Returns the expression's value. A whole value that is only passed on keeps its text.
    ///
    /// # Errors
    /// Returns one line that names the expression and the reason why it has no value.
    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<Json, Failure> {
        let value = match &self.kind {
            Kind::Plain { root, keys } => take(*root, keys, scope),
            Kind::Jq { program, reads } => reads
                .root(scope)
                .and_then(|root| program.run(root))
                .and_then(|value| value::to_json(&value)),
        };
        value.map_err(|Failure { message, values }| {
            let message = format!("`${{ {} }}`: {message}", shortened(&self.code));
            Failure { message, values }
        })
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

/// Returns the kind of a term that is only a root and names below it.
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
    Some(Kind::Plain { root, keys: keys.map(|key| value::text_to_jaq(&key)).collect() })
}

/// Returns jq's value of such a path: `null` if a name is missing, an error below a value that has
/// no names.
fn take(root: Root, keys: &[Val], scope: &Scope<'_>) -> Result<Json, Failure> {
    let given = match root {
        Root::Input => Some(scope.input),
        Root::Step(step) => scope.steps.get(step).and_then(Option::as_ref),
        Root::Error => scope.error,
        Root::Item => {
            return scope.item.map_or_else(|| Ok(Json::null()), |(item, _)| below(item, keys));
        }
        Root::Index => {
            let index = scope.item.map_or(Val::Null, |(_, index)| Val::from(index as usize));
            return below(&index, keys);
        }
    };
    match given {
        None => Ok(Json::null()),
        Some(whole) if keys.is_empty() => Ok(whole.clone()),
        Some(whole) => below(parsed(whole)?, keys),
    }
}

fn below(start: &Val, keys: &[Val]) -> Result<Json, Failure> {
    let mut value = start;
    for key in keys {
        value = match value {
            Val::Obj(entries) => entries.get(key).unwrap_or(&Val::Null),
            Val::Null => &Val::Null,
            other => {
                let message = format!("cannot index {} with {key}", kind(other));
                return Err(Failure { message, values: Some(cut(other)) });
            }
        };
    }
    value::to_json(value)
}

fn parsed(json: &Json) -> Result<&Val, Failure> {
    json.parsed().ok_or_else(|| Failure::plain("the expression engine cannot read the value"))
}

impl Reads {
    /// Returns the root of an expression, with only the parts that it reads.
    fn root(&self, scope: &Scope<'_>) -> Result<Val, Failure> {
        let steps = self.steps.iter().filter_map(|index| {
            let json = scope.steps.get(*index)?.as_ref()?;
            let name = value::text_to_jaq(scope.names.get(*index)?);
            Some(parsed(json).map(|value| (name, value.clone())))
        });
        let steps = Val::obj(steps.collect::<Result<Map, Failure>>()?);
        let input = if self.input { Some(("input", parsed(scope.input)?.clone())) } else { None };
        let item = self.item.then_some(scope.item).flatten();
        let item = item
            .map(|(item, index)| [("item", item.clone()), ("index", Val::from(index as usize))]);
        let error = match scope.error {
            Some(error) if self.error => Some(("error", parsed(error)?.clone())),
            _ => None,
        };
        let roots = input
            .into_iter()
            .chain(iter::once(("steps", steps)))
            .chain(item.into_iter().flatten())
            .chain(error);
        Ok(Val::obj(roots.map(|(name, value)| (value::text_to_jaq(name), value)).collect::<Map>()))
    }
}

#[cfg(test)]
mod tests;
