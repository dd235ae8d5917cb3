//! JSON values to jaq's and back.

use jaq_json::{Map, Num, Val};
use serde_json::{Number, Value};

/// The greatest integer below which every integer is a float too.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A JSON value as jaq's.
pub(crate) fn to_jaq(value: &Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(truth) => Val::Bool(*truth),
        Value::Number(number) => Val::Num(number_to_jaq(number)),
        Value::String(text) => text_to_jaq(text),
        Value::Array(items) => items.iter().map(to_jaq).collect(),
        Value::Object(entries) => {
            Val::obj(entries.iter().map(|(key, value)| (text_to_jaq(key), to_jaq(value))).collect::<Map>())
        }
    }
}

/// A text as jaq's.
pub(super) fn text_to_jaq(text: &str) -> Val {
    Val::utf8_str(text.as_bytes().to_vec())
}

fn number_to_jaq(number: &Number) -> Num {
    if let Some(number) = number.as_i64() {
        Num::from_integral(number)
    } else if let Some(number) = number.as_u64() {
        Num::from_integral(number)
    } else {
        Num::Float(number.as_f64().unwrap_or(f64::NAN))
    }
}

/// jaq's value as JSON.
///
/// # Errors
/// What JSON does not have: numbers that are not finite, keys that are no text.
pub(super) fn from_jaq(value: &Val) -> Result<Value, String> {
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(truth) => Value::Bool(*truth),
        Val::Num(number) => Value::Number(number_from_jaq(number)?),
        Val::BStr(text) | Val::TStr(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        Val::Arr(items) => Value::Array(items.iter().map(from_jaq).collect::<Result<_, _>>()?),
        Val::Obj(entries) => {
            let entries = entries.iter().map(|(key, value)| Ok((key_from_jaq(key)?, from_jaq(value)?)));
            Value::Object(entries.collect::<Result<_, String>>()?)
        }
    })
}

fn key_from_jaq(key: &Val) -> Result<String, String> {
    match key {
        Val::BStr(text) | Val::TStr(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        _ => Err("a key of a map is no text; write `(… | tostring)`".to_owned()),
    }
}

/// jq has one kind of number: what is whole becomes an integer, as cells expect of `4 / 2`.
fn number_from_jaq(number: &Num) -> Result<Number, String> {
    let float = match number {
        Num::Int(number) => return Ok(Number::from(*number)),
        Num::Float(float) => *float,
        Num::BigInt(number) => match number.to_string().parse::<u64>() {
            Ok(number) => return Ok(Number::from(number)),
            Err(_) => number.to_string().parse().unwrap_or(f64::NAN),
        },
        Num::Dec(text) => text.parse().unwrap_or(f64::NAN),
    };
    if float.fract() == 0.0 && float.abs() <= EXACT_MAX {
        #[allow(clippy::cast_possible_truncation, reason = "whole, and within ±2^53")]
        return Ok(Number::from(float as i64));
    }
    Number::from_f64(float).ok_or_else(|| "the number is not finite, and JSON has no such number".to_owned())
}
