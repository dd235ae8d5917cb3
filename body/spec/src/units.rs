//! Durations and sizes as people write them.

use std::time::Duration;

/// What a duration looks like, as a regular expression.
pub(crate) const DURATION_PATTERN: &str = "^[1-9][0-9]{0,8}(ms|s|m|h)$";
/// What a size looks like, as a regular expression.
pub(crate) const SIZE_PATTERN: &str = "^[1-9][0-9]{0,8}(B|KB|MB|GB|KiB|MiB|GiB)$";

/// What a percentage looks like, as a regular expression.
pub(crate) const PERCENT_PATTERN: &str = "^(0|[1-9][0-9]{0,5})%$";

/// Reads `10%`.
pub(crate) fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    let plain = digits == "0" || !digits.starts_with('0');
    let fits = (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && plain;
    fits.then(|| digits.parse().ok()).flatten()
}

/// Reads `250ms`, `5s`, `1m` or `1h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (count, unit) = number_and_unit(text)?;
    match unit {
        "ms" => Some(Duration::from_millis(count)),
        "s" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_secs(count * 60)),
        "h" => Some(Duration::from_secs(count * 3600)),
        _ => None,
    }
}

/// Reads `64MiB`: bytes, powers of 1000 (`KB`) or of 1024 (`KiB`).
pub(crate) fn size(text: &str) -> Option<u64> {
    let (count, unit) = number_and_unit(text)?;
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

/// Writes a duration so that [`duration`] reads it again; below a millisecond it is cut.
pub(crate) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

/// Up to nine digits without a leading zero, and what follows.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let fits = (1..=9).contains(&digits) && !number.starts_with('0');
    fits.then(|| number.parse().ok()).flatten().map(|count| (count, unit))
}
