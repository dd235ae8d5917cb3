//! Metering: each term that does work or makes a value is followed by one that counts its cost.
//!
//! jaq has no budget of its own, and `[range(1e9)]` or `"x" * 1e9` would use up a machine. So the
//! syntax tree is rebuilt before it is compiled, also that of jaq's own definitions. A term `t`
//! becomes `t | __tick` (costs one unit and more for a long value) or `t | __weigh` (costs by the
//! whole size of the value). Values that are gathered use memory. An evaluation that has no units
//! or no memory left ends with an error.

use jaq_core::{
    load::parse::{BinaryOp, Pattern, Term as Tree},
    ops::Math,
    path::Path,
};

use super::{
    syntax::{Term, literal},
    walk::{children, map, map_part, map_pattern},
};

/// Passes its input on. Costs one unit, and more for a long value.
pub(super) const TICK: &str = "__tick";
/// Passes its input on. Costs by its whole size; fails if the value is too large or too deep.
pub(super) const WEIGH: &str = "__weigh";
/// Does the same as [`WEIGH`] and uses memory: for values that are gathered before they are used.
pub(super) const HOLD: &str = "__hold";
/// Passes its input on. Costs as much as a regular expression may cost on it.
pub(super) const SEARCH: &str = "__search";
/// The function that calculates in place of an operator.
pub(super) fn function_of(operator: Math) -> &'static str {
    match operator {
        Math::Add => "__add",
        Math::Sub => "__subtract",
        Math::Mul => "__multiply",
        Math::Div => "__divide",
        Math::Rem => "__remainder",
    }
}

/// Functions in Rust that read all of their input. The input is weighed first.
const THOROUGH: &[&str] = &[
    "bsearch",
    "contains",
    "group_by",
    "implode",
    "indices",
    "key_values",
    "keys_unsorted",
    "max_by_or_empty",
    "min_by_or_empty",
    "reverse",
    "sort",
    "sort_by",
    "tojson",
];
/// Functions in Rust that gather the values of their argument for each item.
const GATHERING: &[&str] = &["group_by", "max_by_or_empty", "min_by_or_empty", "sort_by"];
/// Functions in Rust that search with a regular expression.
const SEARCHES: &[&str] = &["matches", "split_", "split_matches"];

fn then<'s>(term: Term<'s>, name: &'static str) -> Term<'s> {
    pipe(term, Tree::Call(name, Vec::new()))
}

fn pipe<'s>(left: Term<'s>, right: Term<'s>) -> Term<'s> {
    Tree::BinOp(Box::new(left), BinaryOp::Pipe(None), Box::new(right))
}

/// Returns the same term with metering.
pub(super) fn metered(term: Term<'_>) -> Term<'_> {
    match term {
        Tree::BinOp(left, operator, right) => operation(metered(*left), operator, metered(*right)),
        Tree::Str(format, parts) => {
            let term = Tree::Str(format, parts);
            if children(&term).is_empty() {
                term
            } else {
                then(map(term, &mut |part| weighed(metered(part))), WEIGH)
            }
        }
        Tree::Arr(None) => Tree::Arr(None),
        Tree::Arr(Some(term)) => then(Tree::Arr(Some(Box::new(held(metered(*term))))), WEIGH),
        term @ Tree::Obj(_) => then(map(term, &mut metered), WEIGH),
        Tree::Fold(name, list, pattern, arguments) => {
            let list = Box::new(held(metered(*list)));
            let arguments = arguments.into_iter().map(metered).collect();
            Tree::Fold(name, list, map_pattern(pattern, &mut metered), arguments)
        }
        Tree::Call(name, arguments) => call(name, arguments.into_iter().map(metered).collect()),
        Tree::Path(term, path) => {
            let parts = path.0.into_iter().map(|(part, optional)| {
                (map_part(part, &mut |index| held(metered(index))), optional)
            });
            then(Tree::Path(Box::new(metered(*term)), Path(parts.collect())), TICK)
        }
        other => map(other, &mut metered),
    }
}

fn weighed(term: Term<'_>) -> Term<'_> {
    if is_small(&term) { term } else { then(term, WEIGH) }
}

fn held(term: Term<'_>) -> Term<'_> {
    if is_small(&term) { term } else { then(term, HOLD) }
}

/// True if a term gives one number or short text for every input.
fn is_small(term: &Term<'_>) -> bool {
    matches!(term, Tree::Num(_)) || literal(term).is_some()
}

fn operation<'s>(left: Term<'s>, operator: BinaryOp<&'s str>, right: Term<'s>) -> Term<'s> {
    let both = |left, operator, right| Tree::BinOp(Box::new(left), operator, Box::new(right));
    match operator {
        BinaryOp::Math(math) => {
            let (left, right) = match math {
                Math::Mul | Math::Sub => (weighed(left), weighed(right)),
                Math::Add => (left, held(right)),
                Math::Div | Math::Rem => (left, right),
            };
            // The first argument varies slowest, and in jq that is the right side.
            then(Tree::Call(function_of(math), vec![right, left]), TICK)
        }
        BinaryOp::Comma => then(both(left, operator, right), TICK),
        BinaryOp::Cmp(_) => both(weighed(left), operator, weighed(right)),
        // `l += r` is `r as $x | l |= . + $x`.
        BinaryOp::UpdateMath(math) => {
            let changed = operation(Tree::Id, BinaryOp::Math(math), Tree::Var("$__right"));
            let update = both(left, BinaryOp::Update, held(changed));
            then(both(held(right), BinaryOp::Pipe(Some(Pattern::Var("$__right"))), update), WEIGH)
        }
        BinaryOp::Update | BinaryOp::Assign | BinaryOp::UpdateAlt => {
            then(both(left, operator, held(right)), WEIGH)
        }
        BinaryOp::Pipe(Some(pattern)) => {
            both(left, BinaryOp::Pipe(Some(map_pattern(pattern, &mut metered))), right)
        }
        BinaryOp::Pipe(None) | BinaryOp::Alt | BinaryOp::Or | BinaryOp::And => {
            both(left, operator, right)
        }
    }
}

fn call<'s>(name: &'s str, mut arguments: Vec<Term<'s>>) -> Term<'s> {
    // jaq's `fabs` is one of doubles; `abs` keeps the digits of integers.
    let name = if name == "fabs" { "abs" } else { name };
    if GATHERING.contains(&name) {
        arguments = arguments.into_iter().map(held).collect();
    }
    let call = Tree::Call(name, arguments);
    if SEARCHES.contains(&name) {
        then(pipe(Tree::Call(SEARCH, Vec::new()), call), WEIGH)
    } else if THOROUGH.contains(&name) {
        then(pipe(Tree::Call(WEIGH, Vec::new()), call), WEIGH)
    } else {
        then(call, TICK)
    }
}
