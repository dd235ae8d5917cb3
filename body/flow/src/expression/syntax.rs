//! jq's syntax tree, read from text.

use jaq_core::load::{
    Lexer, Parser,
    lex::{StrPart, Token},
    parse::{self, BinaryOp},
    span,
};

use super::{Mistake, walk::children};

pub(super) type Term<'s> = parse::Term<&'s str>;

/// Limit of the bytes of an expression. A longer one is a program and belongs in a cell.
const CODE_BYTES_MAX: usize = 4096;
/// Limit of the nesting of brackets: jaq's parser recurses, and a stack is finite.
const BRACKETS_MAX: usize = 32;
/// Limit of the nesting of terms, for the same reason.
const DEPTH_MAX: usize = 128;

const MANUAL_HINT: &str =
    "write jq, for example `${ .input.name // \"world\" }`; its manual: https://jqlang.org/manual/";

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
        Some((expected, found)) => {
            unparsable(code, expected.as_str(), Token::opt_as_str(found, code))
        }
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
    let message = format!(
        "the expression is no jq: {expected} expected at character {column}, found {found}"
    );
    Mistake::new("flow-syntax", message).hint(MANUAL_HINT)
}

/// Returns the nesting of the brackets of a text. Brackets in strings count too, so the result may
/// be too high.
fn brackets(code: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
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

/// Number of the words and signs that stand before a term and make the parser recurse.
fn prefixes(code: &str) -> usize {
    let words =
        code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$' && c != '.');
    let words = words.filter(|word| {
        matches!(*word, "try" | "if" | "reduce" | "foreach" | "label" | "as" | "def")
    });
    words.count() + code.bytes().filter(|byte| *byte == b'-').count()
}

fn is_deeper(term: &Term<'_>, depth: usize) -> bool {
    // An arithmetic operator is compiled to a call, and uses as much stack as two terms.
    let weight = if matches!(term, parse::Term::BinOp(_, BinaryOp::Math(_), _)) { 2 } else { 1 };
    match depth.checked_sub(weight) {
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
