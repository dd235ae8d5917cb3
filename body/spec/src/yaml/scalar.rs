//! Meaning of a plain scalar: the core schema of YAML 1.2.
//!
//! `no`, `on` and `yes` are texts, `0o17` and `0x1f` are numbers.
//! Source: <https://yaml.org/spec/1.2.2/#103-core-schema>.

use serde_json::Number;

use super::Content;

/// A number that JSON cannot carry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoJsonNumber;

/// Reads a plain scalar.
pub(super) fn resolve(text: &str) -> Result<Content, NoJsonNumber> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Content::Null),
        "true" | "True" | "TRUE" => Ok(Content::Bool(true)),
        "false" | "False" | "FALSE" => Ok(Content::Bool(false)),
        _ if is_special(text) => Err(NoJsonNumber),
        _ => match number(text) {
            None => Ok(Content::Text(text.to_owned())),
            Some(number) => number.map(Content::Number).ok_or(NoJsonNumber),
        },
    }
}

/// `.inf` and `.nan`.
fn is_special(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// `None`: no number; `Some(None)`: one that is too large.
fn number(text: &str) -> Option<Option<Number>> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|digit| digit.is_digit(radix))
        {
            return Some(u64::from_str_radix(digits, radix).ok().map(Number::from));
        }
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let value = text.strip_prefix('+').unwrap_or(text);
        return Some(
            value
                .parse::<u64>()
                .map(Number::from)
                .or_else(|_| value.parse::<i64>().map(Number::from))
                .ok(),
        );
    }
    is_float(unsigned).then(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(unsigned: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
        }
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_fits =
        digits(whole) && digits(fraction) && (!whole.is_empty() || !fraction.is_empty());
    mantissa_fits && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}
