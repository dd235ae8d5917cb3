//! Strings and numbers that fit a schema.

use serde_json::{Map, Value, json};

/// Limit of the length of a text that is made.
const LENGTH_MAX: usize = 4_096;

/// Example texts by format:
/// <https://json-schema.org/draft/2020-12/json-schema-validation#section-7.3>.
const FORMATS: &[(&str, &str)] = &[
    ("date-time", "2026-01-31T12:00:00Z"),
    ("date", "2026-01-31"),
    ("time", "12:00:00Z"),
    ("duration", "PT1M"),
    ("email", "ada@example.org"),
    ("idn-email", "ada@example.org"),
    ("hostname", "example.org"),
    ("idn-hostname", "example.org"),
    ("ipv4", "192.0.2.1"),
    ("ipv6", "2001:db8::1"),
    ("uri", "https://example.org/"),
    ("uri-reference", "/hello"),
    ("iri", "https://example.org/"),
    ("iri-reference", "/hello"),
    ("uri-template", "/{name}"),
    ("uuid", "11111111-1111-4111-8111-111111111111"),
    ("json-pointer", "/name"),
    ("relative-json-pointer", "0"),
    ("regex", "^a"),
];

/// Texts that may match a `pattern`; they are tried.
const USUAL: &[&str] = &[
    "hello",
    "Ada",
    "HELLO",
    "a",
    "A",
    "a1",
    "A1",
    "1",
    "123",
    "12345",
    "2026-01-31",
    "1.0.0",
    "a-1",
    "a.b",
    "+1234567",
];

/// Returns an example word for a field of this name.
pub(super) fn word(field: &str) -> &'static str {
    let field = field.to_ascii_lowercase();
    if field == "name" || field.ends_with("_name") || field.ends_with("name") {
        "Ada"
    } else {
        "hello"
    }
}

pub(super) fn strings(schema: &Map<String, Value>, field: &str) -> Vec<Value> {
    let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
    let least = bound("minLength").map_or(0, whole).min(LENGTH_MAX);
    let most = bound("maxLength").map_or(LENGTH_MAX, whole);
    let format = schema.get("format").and_then(Value::as_str);
    let formatted = FORMATS.iter().find(|(name, _)| Some(*name) == format).map(|(_, text)| *text);
    let base64 = schema.contains_key("contentEncoding").then_some("aGVsbG8=");
    let usual = if schema.contains_key("pattern") { USUAL } else { &[] };
    let all = formatted.into_iter().chain(base64).chain([word(field)]).chain(usual.iter().copied());
    all.map(|text| {
        json!(
            text.chars()
                .cycle()
                .take(text.chars().count().max(least).min(most))
                .collect::<String>()
        )
    })
    .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bound of a length, and checked"
)]
fn whole(number: f64) -> usize {
    if number >= 0.0 { number as usize } else { 0 }
}

/// Returns whole numbers within the bounds.
pub(super) fn integers(schema: &Map<String, Value>) -> Vec<Value> {
    let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
    let least = [
        bound("minimum").map(f64::ceil),
        bound("exclusiveMinimum").map(|least| least.floor() + 1.0),
    ];
    let most =
        [bound("maximum").map(f64::floor), bound("exclusiveMaximum").map(|most| most.ceil() - 1.0)];
    let step = bound("multipleOf").filter(|step| *step > 0.0);
    let all = within(least, most, step.unwrap_or(1.0)).into_iter();
    all.filter(|number| number.fract() == 0.0 && number.abs() < 9e15).map(integer).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "whole and checked")]
fn integer(number: f64) -> Value {
    json!(number as i64)
}

/// Returns numbers within the bounds, whole ones first.
pub(super) fn numbers(schema: &Map<String, Value>) -> Vec<Value> {
    let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
    let above = bound("exclusiveMinimum");
    let below = bound("exclusiveMaximum");
    let least = [bound("minimum"), above];
    let most = [bound("maximum"), below];
    let mut found = integers(schema);
    let step = bound("multipleOf").filter(|step| *step > 0.0);
    let ends = |ends: [Option<f64>; 2]| ends.into_iter().flatten().collect::<Vec<_>>();
    for low in ends(least) {
        for high in ends(most) {
            found.push(json!(low + (high - low) / 2.0));
        }
        found.extend([json!(low + 0.5), json!(low)]);
    }
    found.extend(ends(most).into_iter().flat_map(|high| [json!(high - 0.5), json!(high)]));
    found.extend(within(least, most, step.unwrap_or(1.0)).into_iter().map(|number| json!(number)));
    found
}

/// Returns multiples of a step between the bounds: one of the smallest that is not zero first.
fn within(least: [Option<f64>; 2], most: [Option<f64>; 2], step: f64) -> Vec<f64> {
    let least = least.into_iter().flatten().reduce(f64::max);
    let most = most.into_iter().flatten().reduce(f64::min);
    let up = least.map(|least| (least / step).ceil() * step);
    let down = most.map(|most| (most / step).floor() * step);
    let fits = |number: &f64| {
        least.is_none_or(|least| *number >= least) && most.is_none_or(|most| *number <= most)
    };
    let near = up
        .map(|up| up + step)
        .into_iter()
        .chain(up)
        .chain(down.map(|down| down - step))
        .chain(down);
    [step, 0.0].into_iter().chain(near).filter(fits).collect()
}

/// Returns another value of the same kind.
pub(super) fn another(value: &Value, index: usize) -> Option<Value> {
    match value {
        Value::String(text) => Some(json!(format!("{text}{}", index + 1))),
        Value::Number(number) => {
            Some(json!(number.as_i64()?.checked_add(i64::try_from(index).ok()?)?))
        }
        Value::Object(object) => {
            let (name, field) =
                object.iter().find_map(|(name, field)| Some((name, another(field, index)?)))?;
            let mut other = object.clone();
            other.insert(name.clone(), field);
            Some(Value::Object(other))
        }
        Value::Array(array) => {
            Some(Value::Array(array.iter().cloned().chain([json!(index)]).collect()))
        }
        Value::Bool(_) | Value::Null => None,
    }
}
