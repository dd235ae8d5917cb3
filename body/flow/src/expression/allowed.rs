//! What of jq a flow may use: what ends, and depends on nothing but the roots.

use jaq_core::load::parse::{BinaryOp, Term as Tree};

use super::{
    Mistake,
    syntax::{Term, children, literal},
};
use crate::suggest::nearest;

/// The most `\( )` in one string: each may give text of the greatest size.
const INTERPOLATIONS_MAX: usize = 32;

/// The functions that expressions may call, with their number of arguments.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[(&str, &[usize])] = &[
    ("@base64", &[0]), ("@base64d", &[0]), ("@html", &[0]), ("@htmld", &[0]), ("@json", &[0]), ("@sh", &[0]),
    ("@text", &[0]), ("@uri", &[0]), ("@urid", &[0]),
    ("abs", &[0]), ("add", &[0, 1]), ("all", &[0, 1, 2]), ("any", &[0, 1, 2]), ("arrays", &[0]),
    ("ascii_downcase", &[0]), ("ascii_upcase", &[0]), ("booleans", &[0]), ("bsearch", &[1]), ("capture", &[1, 2]),
    ("ceil", &[0]), ("contains", &[1]), ("del", &[1]), ("empty", &[0]), ("endswith", &[1]), ("error", &[0, 1]),
    ("exp", &[0]), ("explode", &[0]), ("fabs", &[0]), ("false", &[0]), ("first", &[0, 1]), ("flatten", &[0, 1]),
    ("floor", &[0]), ("from_entries", &[0]), ("fromjson", &[0]), ("group_by", &[1]), ("gsub", &[2, 3]), ("has", &[1]),
    ("implode", &[0]), ("in", &[1]), ("index", &[1]), ("indices", &[1]), ("inside", &[1]), ("isarray", &[0]),
    ("isboolean", &[0]), ("isempty", &[1]), ("isfinite", &[0]), ("isinfinite", &[0]), ("isnan", &[0]),
    ("isnormal", &[0]), ("isnumber", &[0]), ("isobject", &[0]), ("isstring", &[0]), ("iterables", &[0]),
    ("join", &[1]), ("keys", &[0]), ("keys_unsorted", &[0]), ("last", &[0, 1]), ("length", &[0]), ("limit", &[2]),
    ("log", &[0]), ("log10", &[0]), ("log2", &[0]), ("ltrim", &[0]), ("ltrimstr", &[1]), ("map", &[1]),
    ("map_values", &[1]), ("match", &[1, 2]), ("max", &[0]), ("max_by", &[1]), ("min", &[0]), ("min_by", &[1]),
    ("not", &[0]), ("nth", &[1, 2]), ("null", &[0]), ("nulls", &[0]), ("numbers", &[0]), ("objects", &[0]),
    ("pow", &[2]), ("range", &[1, 2, 3]), ("reverse", &[0]), ("rindex", &[1]), ("round", &[0]), ("rtrim", &[0]),
    ("rtrimstr", &[1]), ("scalars", &[0]), ("scan", &[1, 2]), ("select", &[1]), ("skip", &[2]), ("sort", &[0]),
    ("sort_by", &[1]), ("split", &[1, 2]), ("splits", &[1, 2]), ("sqrt", &[0]), ("startswith", &[1]),
    ("strings", &[0]), ("sub", &[2, 3]), ("test", &[1, 2]), ("to_entries", &[0]), ("toboolean", &[0]),
    ("tojson", &[0]), ("tonumber", &[0]), ("tostring", &[0]), ("transpose", &[0]), ("trim", &[0]), ("true", &[0]),
    ("type", &[0]), ("unique", &[0]), ("unique_by", &[1]), ("utf8bytelength", &[0]), ("values", &[0]),
    ("with_entries", &[1]),
];

/// What jq has and flows refuse, with the reason.
#[rustfmt::skip]
const REFUSED: &[(&[&str], &str)] = &[
    (&["now", "mktime", "gmtime", "localtime", "strftime", "strflocaltime", "strptime", "todate", "fromdate", "date",
       "dateadd", "datesub", "todateiso8601", "fromdateiso8601"],
     "an expression gives the same whenever it is run, so it knows no time; let a cell do this"),
    (&["input", "inputs", "input_filename", "input_line_number", "$__loc__", "get_search_list"],
     "an expression reads nothing but its roots; write `.input`"),
    (&["env", "$ENV"],
     "an expression knows no environment; give the value to a cell in its spec's `config`"),
    (&["debug", "stderr", "halt", "halt_error"],
     "an expression has no effect but its value"),
    (&["recurse", "repeat", "while", "until", "walk", "combinations", "paths", "leaf_paths", "path", "getpath", "setpath",
       "delpaths", "pick", "tostream", "fromstream", "truncate_stream"],
     "it may recurse without end; name the parts, use `map` and `select`, or let a cell do this"),
];

/// Finds everything in a term that a flow may not use.
pub(super) fn check(term: &Term<'_>, mistakes: &mut Vec<Mistake>) {
    match term {
        Tree::Def(..) => refuse("def", "an expression defines no functions; let a cell do this", mistakes),
        Tree::Recurse => refuse("..", "it recurses; name the parts, use `map` and `select`", mistakes),
        Tree::Str(..) if children(term).len() > INTERPOLATIONS_MAX => {
            let message = format!("a string has more than {INTERPOLATIONS_MAX} interpolations");
            mistakes.push(Mistake::new("flow-refused", message).hint("join a list with `join`"));
        }
        Tree::Var(name) if name.starts_with("$__") || *name == "$ENV" => {
            refuse(name, reason(name).unwrap_or("names that begin with `$__` are the engine's own"), mistakes);
        }
        Tree::Call(name, arguments) => {
            check_call(name, arguments.len(), mistakes);
            if *name == "del" {
                arguments.iter().for_each(|argument| check_place(argument, mistakes));
            }
        }
        Tree::Str(Some(format), _) => check_call(format, 0, mistakes),
        Tree::Obj(entries) => {
            let bare = entries.iter().filter(|(key, value)| value.is_none() && !matches!(key, Tree::Var(_)));
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
    matches!(operator, BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt)
}

fn check_call(name: &str, arity: usize, mistakes: &mut Vec<Mistake>) {
    let known = FUNCTIONS.iter().find(|(function, _)| *function == name);
    match known {
        Some((_, arities)) if arities.contains(&arity) => {}
        Some((_, arities)) => {
            let wanted: Vec<String> = arities.iter().map(ToString::to_string).collect();
            let message = format!("`{name}` has {arity} arguments, it takes {}", wanted.join(" or "));
            mistakes.push(Mistake::new("flow-refused", message).hint("arguments are parted by `;`"));
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
    mistakes.push(Mistake::new("flow-refused", format!("`{name}` is not allowed in a flow")).hint(reason));
}

fn unknown(name: &str, mistakes: &mut Vec<Mistake>) {
    let names = || FUNCTIONS.iter().map(|(function, _)| *function);
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`? (a text stands in quotes, a field after a dot)"),
        None => format!("a text stands in quotes, a field after a dot; functions: {}", names().collect::<Vec<_>>().join(" ")),
    };
    mistakes.push(Mistake::new("flow-refused", format!("there is no function `{name}` in a flow")).hint(hint));
}

/// What stands left of `=` or `|=`, or in `del`, is a plain path: jaq updates along other
/// terms by recursion that is as deep as the values are many.
fn check_place(term: &Term<'_>, mistakes: &mut Vec<Mistake>) {
    if !is_place(term) {
        let message = "only a plain path such as `.a.b[0]` can be updated or deleted";
        mistakes.push(Mistake::new("flow-refused", message).hint("for example `.input | .name = \"x\"`, `del(.a, .b)`"));
    }
}

fn is_place(term: &Term<'_>) -> bool {
    match term {
        Tree::Id => true,
        Tree::Path(term, _) | Tree::TryCatch(term, None) => is_place(term),
        Tree::BinOp(left, BinaryOp::Pipe(None) | BinaryOp::Comma | BinaryOp::Alt, right) => is_place(left) && is_place(right),
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
