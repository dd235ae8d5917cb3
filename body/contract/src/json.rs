//! Numbers that JSON or serde cannot hold: NaN, infinities, and integers that would lose digits.

mod not_finite;

use serde_json::Value;

pub(crate) use self::not_finite::not_finite;

/// The path of an integer beyond 64 bits, which serde makes a float of. `None` where there is none,
/// or no JSON.
pub(crate) fn wide_integer(json: &[u8]) -> Option<String> {
    if !may_be_wide(json) {
        return None;
    }
    let wide: Vec<f64> =
        integers(json).filter(|text| is_wide(text)).filter_map(|text| text.parse().ok()).collect();
    let value = serde_json::from_slice(json).ok()?;
    path_of(&value, &wide)
}

const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// True if the text has 19 digits in a row. One of any nineteen is at a position that this checks.
fn may_be_wide(json: &[u8]) -> bool {
    const DIGITS: usize = 19;
    (DIGITS - 1..json.len()).step_by(DIGITS).any(|at| {
        let (before, after) = json.split_at(at);
        let digits = before.iter().rev().take_while(|byte| is_digit(**byte)).count();
        let more = after.iter().take_while(|byte| is_digit(**byte)).count();
        more > 0 && digits + more >= DIGITS
    })
}

/// The numbers of a JSON text that have no fraction and no exponent.
fn integers(json: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            let (&first, after) = rest.split_first()?;
            let end = match first {
                b'"' => 1 + text_end(after),
                b'-' | b'0'..=b'9' => 1 + after.iter().take_while(|byte| is_number(**byte)).count(),
                _ => 1,
            };
            let (token, others) = rest.split_at(end.min(rest.len()));
            rest = others;
            let is_integer =
                first != b'"' && token.iter().all(|byte| *byte == b'-' || is_digit(*byte));
            if is_integer && token.len() > 1 {
                return std::str::from_utf8(token).ok();
            }
        }
    })
}

const fn is_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

/// Where a text ends, its quote included.
fn text_end(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let is_end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 1)
}

fn is_wide(integer: &str) -> bool {
    integer.parse::<i64>().is_err() && integer.parse::<u64>().is_err()
}

/// The path of the first number that is one of these, `.` for the value itself.
fn path_of(value: &Value, numbers: &[f64]) -> Option<String> {
    fn within(value: &Value, numbers: &[f64]) -> Option<String> {
        match value {
            Value::Number(number) => {
                let is_one = number.as_f64().is_some_and(|number| numbers.contains(&number));
                (number.is_f64() && is_one).then(String::new)
            }
            Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
                within(item, numbers).map(|path| joined(&format!("[{index}]"), &path))
            }),
            Value::Object(entries) => entries
                .iter()
                .find_map(|(key, entry)| within(entry, numbers).map(|path| joined(key, &path))),
            _ => None,
        }
    }
    within(value, numbers).map(|path| if path.is_empty() { ".".to_owned() } else { path })
}

/// A path from what holds a value into it: `orders[2].price`.
fn joined(place: &str, path: &str) -> String {
    let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
    format!("{place}{dot}{path}")
}

#[cfg(test)]
mod tests {
    use super::wide_integer;

    #[test]
    fn integers_of_sixty_four_bits_and_other_digits_are_none() {
        for json in [
            "18446744073709551615",
            "-9223372036854775808",
            "123456789012345678901234567890.5",
            "[1e300,123456789012345678901e2]",
            r#""123456789012345678901234567890""#,
            r#"{"a":"\\\" 99999999999999999999","99999999999999999999":1}"#,
            "99999999999999999999 no JSON",
        ] {
            assert_eq!(wide_integer(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn one_beyond_them_is_found_wherever_it_stands() {
        for blanks in 0..40 {
            let blanks = " ".repeat(blanks);
            for (integer, found) in [
                ("18446744073709551616", true),
                ("-9223372036854775809", true),
                ("18446744073709551615", false),
            ] {
                let json = format!(r#"{{{blanks}"orders":["x",{{"id":{integer}}}]}}"#);
                assert_eq!(
                    wide_integer(json.as_bytes()),
                    found.then(|| "orders[1].id".to_owned()),
                    "{json}"
                );
            }
        }
    }
}
