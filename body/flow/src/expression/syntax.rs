//! jq's syntax tree: read from text, walked and rebuilt.

use jaq_core::{
    load::{
        Lexer, Parser,
        lex::{StrPart, Token},
        parse::{self, BinaryOp, Def, Pattern},
        span,
    },
    path::{Part, Path},
};

use super::Mistake;

pub(super) type Term<'s> = parse::Term<&'s str>;

/// The longest expression, in bytes: more is a program, and belongs into a cell.
const CODE_BYTES_MAX: usize = 4096;
/// How deep brackets may nest: jaq's parser recurses, and a stack is finite.
const BRACKETS_MAX: usize = 32;
/// How deep terms may nest in each other, for the same reason.
const DEPTH_MAX: usize = 128;

/// Reads the text of an expression, without its `${ }`.
pub(super) fn parse(code: &str) -> Result<Term<'_>, Mistake> {
    if code.len() > CODE_BYTES_MAX || brackets(code) > BRACKETS_MAX || prefixes(code) > DEPTH_MAX {
        return Err(too_deep());
    }
    let tokens = Lexer::new(code).lex().map_err(|errors| match errors.into_iter().next() {
        Some((expected, rest)) => unparsable(code, expected.as_str(), rest),
        None => unparsable(code, "an expression", ""),
    })?;
    let parsed = Parser::new(&tokens).parse(|parser| parser.term());
    let term = parsed.map_err(|errors| match errors.into_iter().next() {
        Some((expected, found)) => unparsable(code, expected.as_str(), Token::opt_as_str(found, code)),
        None => unparsable(code, "an expression", ""),
    })?;
    if is_deeper(&term, DEPTH_MAX) { Err(too_deep()) } else { Ok(term) }
}

fn too_deep() -> Mistake {
    let message = format!(
        "the expression is too long or too deep: at most {CODE_BYTES_MAX} bytes, {BRACKETS_MAX} brackets and {DEPTH_MAX} terms in each other"
    );
    Mistake::new("flow-syntax", message).hint("let a cell compute it")
}

fn unparsable(code: &str, expected: &str, rest: &str) -> Mistake {
    let at = span(code, rest).start;
    let column = code.get(..at).map_or(0, |before| before.chars().count()) + 1;
    let found: String = rest.chars().take(20).collect();
    let found = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
    let message = format!("the expression is no jq: {expected} expected at character {column}, found {found}");
    Mistake::new("flow-syntax", message)
}

/// How deep the brackets of a text nest, counting those in strings: at worst too many.
fn brackets(code: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in code.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// How many words and signs stand in front of a term and make the parser recurse.
fn prefixes(code: &str) -> usize {
    let words = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$' && c != '.');
    let words = words.filter(|word| matches!(*word, "try" | "if" | "reduce" | "foreach" | "label" | "as" | "def"));
    words.count() + code.bytes().filter(|byte| *byte == b'-').count()
}

fn is_deeper(term: &Term<'_>, depth: usize) -> bool {
    match depth.checked_sub(1) {
        None => true,
        Some(left) => children(term).into_iter().any(|child| is_deeper(child, left)),
    }
}

/// The text of a string without interpolation.
pub(super) fn literal(term: &Term<'_>) -> Option<String> {
    let parse::Term::Str(None, parts) = term else { return None };
    let mut text = String::new();
    for part in parts {
        match part {
            StrPart::Str(part) => text.push_str(part),
            StrPart::Char(part) => text.push(*part),
            StrPart::Term(_) => return None,
        }
    }
    Some(text)
}

/// The terms that stand directly in a term.
pub(super) fn children<'t, 's>(term: &'t Term<'s>) -> Vec<&'t Term<'s>> {
    use parse::Term::{
        Arr, BinOp, Break, Call, Def, Fold, Id, IfThenElse, Label, Neg, Num, Obj, Path, Recurse, Str, TryCatch, Var,
    };
    let mut found = Vec::new();
    match term {
        Id | Recurse | Num(_) | Break(_) | Var(_) | Arr(None) => {}
        Str(_, parts) => found.extend(parts.iter().filter_map(|part| match part {
            StrPart::Term(term) => Some(term),
            StrPart::Str(_) | StrPart::Char(_) => None,
        })),
        Arr(Some(term)) | Neg(term) | Label(_, term) => found.push(&**term),
        Obj(entries) => entries.iter().for_each(|(key, value)| {
            found.push(key);
            found.extend(value);
        }),
        BinOp(left, operator, right) => {
            found.push(&**left);
            if let BinaryOp::Pipe(Some(pattern)) = operator {
                pattern_terms(pattern, &mut found);
            }
            found.push(&**right);
        }
        Fold(_, list, pattern, arguments) => {
            found.push(&**list);
            pattern_terms(pattern, &mut found);
            found.extend(arguments);
        }
        TryCatch(term, catch) => found.extend([Some(&**term), catch.as_deref()].into_iter().flatten()),
        IfThenElse(branches, rest) => {
            branches.iter().for_each(|(condition, then)| found.extend([condition, then]));
            found.extend(rest.as_deref());
        }
        Def(definitions, term) => {
            found.extend(definitions.iter().map(|definition| &definition.body));
            found.push(&**term);
        }
        Call(_, arguments) => found.extend(arguments),
        Path(term, path) => {
            found.push(&**term);
            path.0.iter().for_each(|(part, _)| part_terms(part, &mut found));
        }
    }
    found
}

fn pattern_terms<'t, 's>(pattern: &'t Pattern<&'s str>, found: &mut Vec<&'t Term<'s>>) {
    match pattern {
        Pattern::Var(_) => {}
        Pattern::Arr(parts) => parts.iter().for_each(|part| pattern_terms(part, found)),
        Pattern::Obj(entries) => entries.iter().for_each(|(key, part)| {
            found.push(key);
            pattern_terms(part, found);
        }),
    }
}

pub(super) fn part_terms<'t, 's>(part: &'t Part<Term<'s>>, found: &mut Vec<&'t Term<'s>>) {
    match part {
        Part::Index(index) => found.push(index),
        Part::Range(from, to) => found.extend([from, to].into_iter().flatten()),
    }
}

/// The variables that a pattern binds.
pub(super) fn variables<'s>(pattern: &Pattern<&'s str>) -> Vec<&'s str> {
    match pattern {
        Pattern::Var(name) => vec![name],
        Pattern::Arr(parts) => parts.iter().flat_map(variables).collect(),
        Pattern::Obj(entries) => entries.iter().flat_map(|(_, part)| variables(part)).collect(),
    }
}

/// The same term with every term that stands directly in it changed.
pub(super) fn map<'s>(term: Term<'s>, change: &mut dyn FnMut(Term<'s>) -> Term<'s>) -> Term<'s> {
    use parse::Term::{Arr, BinOp, Call, Def as Local, Fold, IfThenElse, Label, Neg, Obj, Path as Access, Str, TryCatch};
    match term {
        Str(format, parts) => Str(format, parts.into_iter().map(|part| map_string(part, change)).collect()),
        Arr(Some(term)) => Arr(Some(Box::new(change(*term)))),
        Neg(term) => Neg(Box::new(change(*term))),
        Label(name, term) => Label(name, Box::new(change(*term))),
        Obj(entries) => Obj(entries.into_iter().map(|(key, value)| map_entry(key, value, change)).collect()),
        BinOp(left, operator, right) => {
            let left = change(*left);
            let operator = match operator {
                BinaryOp::Pipe(Some(pattern)) => BinaryOp::Pipe(Some(map_pattern(pattern, change))),
                other => other,
            };
            BinOp(Box::new(left), operator, Box::new(change(*right)))
        }
        Fold(name, list, pattern, arguments) => {
            let list = Box::new(change(*list));
            Fold(name, list, map_pattern(pattern, change), arguments.into_iter().map(change).collect())
        }
        TryCatch(term, catch) => TryCatch(Box::new(change(*term)), catch.map(|term| Box::new(change(*term)))),
        IfThenElse(branches, rest) => {
            let branches = branches.into_iter().map(|(condition, then)| (change(condition), change(then))).collect();
            IfThenElse(branches, rest.map(|term| Box::new(change(*term))))
        }
        Local(definitions, term) => {
            let definitions =
                definitions.into_iter().map(|Def { name, args, body }| Def { name, args, body: change(body) }).collect();
            Local(definitions, Box::new(change(*term)))
        }
        Call(name, arguments) => Call(name, arguments.into_iter().map(change).collect()),
        Access(term, path) => {
            let term = Box::new(change(*term));
            let parts = path.0.into_iter().map(|(part, optional)| (map_part(part, change), optional));
            Access(term, Path(parts.collect()))
        }
        leaf => leaf,
    }
}

type Change<'c, 's> = &'c mut dyn FnMut(Term<'s>) -> Term<'s>;

/// A key without a value stays as it is: `{name}` means `{name: .name}`, and only a plain key does.
fn map_entry<'s>(key: Term<'s>, value: Option<Term<'s>>, change: Change<'_, 's>) -> (Term<'s>, Option<Term<'s>>) {
    match value {
        Some(value) => (change(key), Some(change(value))),
        None => (key, None),
    }
}

fn map_string<'s>(part: StrPart<&'s str, Term<'s>>, change: Change<'_, 's>) -> StrPart<&'s str, Term<'s>> {
    match part {
        StrPart::Term(term) => StrPart::Term(change(term)),
        other => other,
    }
}

pub(super) fn map_pattern<'s>(pattern: Pattern<&'s str>, change: Change<'_, 's>) -> Pattern<&'s str> {
    match pattern {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(parts) => Pattern::Arr(parts.into_iter().map(|part| map_pattern(part, change)).collect()),
        Pattern::Obj(entries) => {
            let entries = entries.into_iter().map(|(key, part)| (change(key), map_pattern(part, change)));
            Pattern::Obj(entries.collect())
        }
    }
}

fn map_part<'s>(part: Part<Term<'s>>, change: Change<'_, 's>) -> Part<Term<'s>> {
    match part {
        Part::Index(index) => Part::Index(change(index)),
        Part::Range(from, to) => {
            let from = from.map(&mut *change);
            Part::Range(from, to.map(&mut *change))
        }
    }
}
