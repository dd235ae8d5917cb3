//! Conversion of jaq's values to JSON.

use jaq_json::{Num, Val};

use super::Failure;
use crate::Json;

/// The largest integer below which every integer fits a float exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Converts a text to jaq's value.
pub(super) fn text_to_jaq(text: &str) -> Val {
    Val::utf8_str(text.as_bytes().to_vec())
}

/// Converts a float to jaq's number. jq has one kind of number, so a whole float becomes an
/// integer: as an index of a list, and as cells expect it of `4 / 2`.
pub(super) fn number(float: f64) -> Num {
    if float.fract() == 0.0 && float.abs() <= EXACT_MAX {
        #[allow(clippy::cast_possible_truncation, reason = "whole, and within ±2^53")]
        return Num::Int(float as isize);
    }
    Num::Float(float)
}

/// Converts jaq's value to JSON. Numbers that were not calculated with keep their digits.
///
/// # Errors
/// Fails for values that JSON does not have: numbers that are not finite, keys that are no text.
pub(super) fn to_json(value: &Val) -> Result<Json, Failure> {
    let mut text = Vec::new();
    write(value, &mut text)?;
    Ok(Json::trusted(text))
}

fn write(value: &Val, out: &mut Vec<u8>) -> Result<(), Failure> {
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Val::Num(number) => write_number(number, out)?,
        Val::BStr(text) | Val::TStr(text) => write_text(text, out),
        Val::Arr(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Val::Obj(entries) => {
            out.push(b'{');
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                let (Val::BStr(key) | Val::TStr(key)) = key else {
                    return Err(Failure::plain(
                        "a key of a map is no text; write `(… | tostring)`",
                    ));
                };
                write_text(key, out);
                out.push(b':');
                write(value, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    let text = serde_json::Value::String(String::from_utf8_lossy(text).into_owned());
    out.extend_from_slice(text.to_string().as_bytes());
}

fn write_number(number: &Num, out: &mut Vec<u8>) -> Result<(), Failure> {
    let written = match number {
        Num::Float(float) => match self::number(*float) {
            Num::Int(whole) => whole.to_string(),
            _ => serde_json::Number::from_f64(*float)
                .map(|number| number.to_string())
                .unwrap_or_default(),
        },
        other => other.to_string(),
    };
    // Integers of any length and decimals as they were written, if others can read them.
    if serde_json::from_str::<f64>(&written).is_err() {
        return match number {
            Num::Dec(text) => match text.parse::<f64>() {
                Ok(float) if float.is_finite() => write_number(&Num::Float(float), out),
                _ => Err(not_finite()),
            },
            _ => Err(not_finite()),
        };
    }
    out.extend_from_slice(written.as_bytes());
    Ok(())
}

fn not_finite() -> Failure {
    Failure::plain("the number is not finite or too large, and JSON has no such number")
}
