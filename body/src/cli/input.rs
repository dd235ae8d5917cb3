//! The JSON that a command sends.

use std::io::Read;

use cbs::Bytes;

use crate::exit::Failure;

/// The most that is read from standard input; servers take 64 MiB at most.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The argument's JSON; `-` stands for standard input, nothing for `null`.
///
/// # Errors
/// Usage, for what is no JSON.
pub(super) fn json(argument: Option<&str>) -> Result<Bytes, Failure> {
    let text: Bytes = match argument {
        None => return Ok(Bytes::from_static(b"null")),
        Some("-") => standard_input()?.into(),
        Some(text) => text.to_owned().into(),
    };
    serde_json::from_slice::<serde::de::IgnoredAny>(&text).map_err(|error| {
        Failure::usage(format_args!("the input is no JSON: {error}; write it as '{{\"name\":\"Ada\"}}'"))
    })?;
    Ok(text)
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    std::io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| Failure::usage(format_args!("standard input cannot be read: {error}")))?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::usage("standard input has more than 64 MiB"));
    }
    Ok(text)
}

/// Reads a duration: `250ms`, `5s`, `1m`, `1h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let seconds = number.parse::<f64>().unwrap_or(f64::NAN) * seconds;
    std::time::Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= std::time::Duration::from_secs(86_400))
        .ok_or_else(|| "write a duration up to a day as `250ms`, `5s`, `1m` or `1h`".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exit::Status;

    #[test]
    fn nothing_is_null_and_text_is_taken_as_it_is() {
        assert_eq!(json(None).unwrap(), "null");
        assert_eq!(json(Some("{ \"a\": 1 }")).unwrap(), "{ \"a\": 1 }");
    }

    #[test]
    fn what_is_no_json_is_wrong_usage() {
        for text in ["", "{", "hello", "{} {}"] {
            assert_eq!(json(Some(text)).unwrap_err().status, Status::Usage, "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for text in ["", "s", "-1s", "5 s", "1d", "0s", "25h", "1e3s", "NaN", "inf"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
