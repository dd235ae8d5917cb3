//! Walks through jq's syntax tree, and rebuilds it.

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{self, BinaryOp, Def, Pattern},
    },
    path::{Part, Path},
};

use super::syntax::Term;

/// The terms that stand directly in a term.
pub(super) fn children<'t, 's>(term: &'t Term<'s>) -> Vec<&'t Term<'s>> {
    use parse::Term::{
        Arr, BinOp, Break, Call, Def, Fold, Id, IfThenElse, Label, Neg, Num, Obj, Path, Recurse,
        Str, TryCatch, Var,
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
        TryCatch(term, catch) => {
            found.extend([Some(&**term), catch.as_deref()].into_iter().flatten());
        }
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

/// Returns the same term with every term that stands directly in it changed.
pub(super) fn map<'s>(term: Term<'s>, change: &mut dyn FnMut(Term<'s>) -> Term<'s>) -> Term<'s> {
    use parse::Term::{
        Arr, BinOp, Call, Def as Local, Fold, IfThenElse, Label, Neg, Obj, Path as Access, Str,
        TryCatch,
    };
    match term {
        Str(format, parts) => {
            Str(format, parts.into_iter().map(|part| map_string(part, change)).collect())
        }
        Arr(Some(term)) => Arr(Some(Box::new(change(*term)))),
        Neg(term) => Neg(Box::new(change(*term))),
        Label(name, term) => Label(name, Box::new(change(*term))),
        Obj(entries) => {
            Obj(entries.into_iter().map(|(key, value)| map_entry(key, value, change)).collect())
        }
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
            Fold(
                name,
                list,
                map_pattern(pattern, change),
                arguments.into_iter().map(change).collect(),
            )
        }
        TryCatch(term, catch) => {
            TryCatch(Box::new(change(*term)), catch.map(|term| Box::new(change(*term))))
        }
        IfThenElse(branches, rest) => {
            let branches = branches
                .into_iter()
                .map(|(condition, then)| (change(condition), change(then)))
                .collect();
            IfThenElse(branches, rest.map(|term| Box::new(change(*term))))
        }
        Local(definitions, term) => {
            let definitions = definitions
                .into_iter()
                .map(|Def { name, args, body }| Def { name, args, body: change(body) })
                .collect();
            Local(definitions, Box::new(change(*term)))
        }
        Call(name, arguments) => Call(name, arguments.into_iter().map(change).collect()),
        Access(term, path) => {
            let term = Box::new(change(*term));
            let parts =
                path.0.into_iter().map(|(part, optional)| (map_part(part, change), optional));
            Access(term, Path(parts.collect()))
        }
        leaf => leaf,
    }
}

type Change<'c, 's> = &'c mut dyn FnMut(Term<'s>) -> Term<'s>;

/// Changes an entry. A key without a value stays unchanged: only a plain key may stand alone, as in
/// `{name}`, which means `{name: .name}`.
fn map_entry<'s>(
    key: Term<'s>,
    value: Option<Term<'s>>,
    change: Change<'_, 's>,
) -> (Term<'s>, Option<Term<'s>>) {
    match value {
        Some(value) => (change(key), Some(change(value))),
        None => (key, None),
    }
}

fn map_string<'s>(
    part: StrPart<&'s str, Term<'s>>,
    change: Change<'_, 's>,
) -> StrPart<&'s str, Term<'s>> {
    match part {
        StrPart::Term(term) => StrPart::Term(change(term)),
        other => other,
    }
}

pub(super) fn map_pattern<'s>(
    pattern: Pattern<&'s str>,
    change: Change<'_, 's>,
) -> Pattern<&'s str> {
    match pattern {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(parts) => {
            Pattern::Arr(parts.into_iter().map(|part| map_pattern(part, change)).collect())
        }
        Pattern::Obj(entries) => {
            let entries =
                entries.into_iter().map(|(key, part)| (change(key), map_pattern(part, change)));
            Pattern::Obj(entries.collect())
        }
    }
}

pub(super) fn map_part<'s>(part: Part<Term<'s>>, change: Change<'_, 's>) -> Part<Term<'s>> {
    match part {
        Part::Index(index) => Part::Index(change(index)),
        Part::Range(from, to) => {
            let from = from.map(&mut *change);
            Part::Range(from, to.map(&mut *change))
        }
    }
}
