//! The parts of jq that a flow may use: they end, and they depend only on the roots.

use jaq_core::load::parse::{BinaryOp, Term as Tree};

use super::{
    Mistake,
    functions::{FUNCTIONS, REFUSED},
    syntax::{Term, literal},
    walk::{children, variables},
};
use crate::suggest::nearest;

/// Limit of the `\( )` in one string: each may give a text of the largest size.
const INTERPOLATIONS_MAX: usize = 32;

const OWN_NAMES: &str = "names that begin with `$__` are the engine's own";

/// Finds everything in a term that a flow may not use.
pub(super) fn check(term: &Term<'_>, mistakes: &mut Vec<Mistake>) {
    match term {
        Tree::Def(..) => {
            refuse("def", "an expression defines no functions; let a cell do this", mistakes);
        }
        Tree::Recurse => {
            refuse("..", "it recurses; name the parts, use `map` and `select`", mistakes);
        }
        Tree::Str(..) if children(term).len() > INTERPOLATIONS_MAX => {
            let message = format!("a string has more than {INTERPOLATIONS_MAX} interpolations");
            mistakes.push(Mistake::new("flow-refused", message).hint("join a list with `join`"));
        }
        Tree::Var(name) if name.starts_with("$__") || *name == "$ENV" => {
            refuse(name, reason(name).unwrap_or(OWN_NAMES), mistakes);
        }
        Tree::Fold(_, _, pattern, _) | Tree::BinOp(_, BinaryOp::Pipe(Some(pattern)), _) => {
            let own = variables(pattern).into_iter().filter(|name| name.starts_with("$__"));
            own.for_each(|name| refuse(name, OWN_NAMES, mistakes));
        }
        Tree::Call(name, arguments) => {
            check_call(name, arguments.len(), mistakes);
            if *name == "del" {
                arguments.iter().for_each(|argument| check_place(argument, mistakes));
            }
        }
        Tree::Str(Some(format), _) => check_call(format, 0, mistakes),
        Tree::Obj(entries) => {
            let bare = entries
                .iter()
                .filter(|(key, value)| value.is_none() && !matches!(key, Tree::Var(_)));
            if bare.into_iter().any(|(key, _)| literal(key).is_none()) {
                let message = "a computed key has no value";
                mistakes.push(Mistake::new("flow-refused", message).hint("write `{(key): value}`"));
            }
        }
        Tree::BinOp(left, operator, _) if is_update(operator) => check_place(left, mistakes),
        _ => {}
    }
    children(term).into_iter().for_each(|child| check(child, mistakes));
}

pub(super) fn is_update(operator: &BinaryOp<&str>) -> bool {
    matches!(
        operator,
        BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt
    )
}

fn check_call(name: &str, arity: usize, mistakes: &mut Vec<Mistake>) {
    let known = FUNCTIONS.iter().find(|(function, _)| *function == name);
    match known {
        Some((_, arities)) if arities.contains(&arity) => {}
        Some((_, arities)) => {
            let wanted: Vec<String> = arities.iter().map(ToString::to_string).collect();
            let message =
                format!("`{name}` has {arity} arguments, it takes {}", wanted.join(" or "));
            mistakes
                .push(Mistake::new("flow-refused", message).hint("arguments are parted by `;`"));
        }
        None => match reason(name) {
            Some(reason) => refuse(name, reason, mistakes),
            None => unknown(name, mistakes),
        },
    }
}

fn reason(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(names, _)| names.contains(&name)).map(|(_, reason)| *reason)
}

fn refuse(name: &str, reason: &str, mistakes: &mut Vec<Mistake>) {
    mistakes.push(
        Mistake::new("flow-refused", format!("`{name}` is not allowed in a flow")).hint(reason),
    );
}

fn unknown(name: &str, mistakes: &mut Vec<Mistake>) {
    let names = || FUNCTIONS.iter().map(|(function, _)| *function);
    let hint = match nearest(name, names()) {
        Some(near) => {
            format!("did you mean `{near}`? (a text stands in quotes, a field after a dot)")
        }
        None => format!(
            "a text stands in quotes, a field after a dot; functions: {}",
            names().collect::<Vec<_>>().join(" ")
        ),
    };
    mistakes.push(
        Mistake::new("flow-refused", format!("there is no function `{name}` in a flow")).hint(hint),
    );
}

/// Checks that the left side of `=` or `|=`, or the argument of `del`, is a plain path. For other
/// terms jaq's update recurses once for each value.
fn check_place(term: &Term<'_>, mistakes: &mut Vec<Mistake>) {
    if !is_place(term) {
        let message = "only a plain path such as `.a.b[0]` can be updated or deleted";
        mistakes.push(
            Mistake::new("flow-refused", message)
                .hint("for example `.input | .name = \"x\"`, `del(.a, .b)`"),
        );
    }
}

fn is_place(term: &Term<'_>) -> bool {
    match term {
        Tree::Id => true,
        Tree::Path(term, _) | Tree::TryCatch(term, None) => is_place(term),
        Tree::BinOp(left, BinaryOp::Pipe(None) | BinaryOp::Comma | BinaryOp::Alt, right) => {
            is_place(left) && is_place(right)
        }
        Tree::Call(name, arguments) => match (*name, arguments.as_slice()) {
            ("select", [_]) | ("empty" | "first" | "last", []) => true,
            ("first" | "last", [place]) => is_place(place),
            _ => false,
        },
        Tree::IfThenElse(branches, rest) => {
            branches.iter().all(|(_, then)| is_place(then)) && rest.as_deref().is_none_or(is_place)
        }
        _ => false,
    }
}
