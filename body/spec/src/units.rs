//! Durations, sizes and percentages as text.

use std::time::Duration;

/// The pattern of a whole number of a unit.
macro_rules! part {
    ($unit:literal) => {
        concat!("((0|[1-9][0-9]{0,8})", $unit, ")")
    };
}

/// The pattern of a number of a unit, perhaps with a fraction.
macro_rules! last {
    ($unit:literal) => {
        concat!("(0|[1-9][0-9]{0,8})(\\.[0-9]{1,9})?", $unit)
    };
}

/// Regular expression of a duration: parts from the longest unit to the shortest, a fraction only
/// in the last one. It also accepts a duration of 0, and one finer than a millisecond.
pub(crate) const DURATION_PATTERN: &str = concat!(
    "^(",
    part!("d"),
    "?(",
    part!("h"),
    "?(",
    part!("m"),
    "?(",
    part!("s"),
    "?",
    last!("ms"),
    "|",
    last!("s"),
    ")|",
    last!("m"),
    ")|",
    last!("h"),
    ")|",
    last!("d"),
    ")$"
);
/// Regular expression of a size.
pub(crate) const SIZE_PATTERN: &str = "^[1-9][0-9]{0,8}(B|KB|MB|GB|KiB|MiB|GiB)$";

/// Regular expression of a percentage.
pub(crate) const PERCENT_PATTERN: &str = "^(0|[1-9][0-9]{0,5})%$";

/// Reads `10%`.
pub(crate) fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    let plain = digits == "0" || !digits.starts_with('0');
    let fits = (1..=6).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && plain;
    fits.then(|| digits.parse().ok()).flatten()
}

/// The units of durations in milliseconds, the longest first.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration, in specs and on the command line: `500ms`, `1.5s`, `1m30s`, `2h`, `1d`.
///
/// Parts stand from the longest unit to the shortest, each unit once. The last part may have a
/// fraction. The duration must be whole milliseconds, at least 1. A number without a unit is no
/// duration.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut millis = 0_u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let (whole, after) = number(rest)?;
        let ((fraction, scale), after) = match after.strip_prefix('.') {
            Some(after) => decimals(after)?,
            None => ((0, 1), after),
        };
        let end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        (_, rest) = after.split_at_checked(end)?;
        // A unit that stood before, or none, is not among those that are left.
        let (_, length) = units.find(|(unit, _)| after.strip_suffix(rest) == Some(unit))?;
        let part = fraction * length;
        if !part.is_multiple_of(scale) || (scale > 1 && !rest.is_empty()) {
            return None;
        }
        millis = millis.checked_add(whole.checked_mul(*length)?)?.checked_add(part / scale)?;
    }
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// Returns a hint how to write a duration, for a person who wrote this text instead.
#[must_use]
pub fn duration_hint(text: &str) -> String {
    if !text.is_empty()
        && text.len() < 10
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return format!("say the unit, for example `{text}s` or `{text}ms`");
    }
    "write a number and `ms`, `s`, `m`, `h` or `d`, for example `500ms`, `1.5s`, `1m30s`, `2h` or `1d`".to_owned()
}

/// A whole number of up to nine digits without a leading zero, and what follows.
fn number(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = digits(text)?;
    (digits == "0" || !digits.starts_with('0'))
        .then(|| digits.parse().ok())
        .flatten()
        .map(|number| (number, rest))
}

/// The digits after a point as a numerator and denominator, and what follows.
fn decimals(text: &str) -> Option<((u64, u64), &str)> {
    let (digits, rest) = digits(text)?;
    let scale = 10_u64.checked_pow(u32::try_from(digits.len()).ok()?)?;
    Some(((digits.parse().ok()?, scale), rest))
}

/// One to nine digits, and what follows.
fn digits(text: &str) -> Option<(&str, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=9).contains(&count).then(|| text.split_at_checked(count)).flatten()
}

/// Reads `64MiB`: bytes, powers of 1000 (`KB`) or of 1024 (`KiB`).
pub(crate) fn size(text: &str) -> Option<u64> {
    let (count, unit) = number(text).filter(|(count, _)| *count > 0)?;
    let factor = match unit {
        "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    count.checked_mul(factor)
}

/// Writes a duration so that [`duration`] can read it again. Parts of a millisecond are dropped.
pub(crate) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests;
