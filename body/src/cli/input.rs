//! The JSON that a command sends.

use std::{io::Read, time::Duration};

use cbs::Bytes;

use crate::exit::Failure;

/// Limit of the bytes that are read from standard input: servers take 64 MiB at most.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Limit of a duration in a flag.
const DURATION_MAX: Duration = Duration::from_secs(86_400);

/// Reads the argument's JSON. `-` stands for standard input, a missing argument for `null`.
///
/// # Errors
/// The text is not JSON; the status is "usage".
pub(super) fn json(argument: Option<&str>) -> Result<Bytes, Failure> {
    let text: Bytes = match argument {
        None => return Ok(Bytes::from_static(b"null")),
        Some("-") => standard_input()?.into(),
        Some(text) => text.to_owned().into(),
    };
    serde_json::from_slice::<serde::de::IgnoredAny>(&text).map_err(|error| {
        Failure::usage(format_args!(
            "the input is no JSON: {error}; write it as '{{\"name\":\"Ada\"}}'"
        ))
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

/// Reads a duration up to a day, in the grammar of specs: `500ms`, `1.5s`, `1m30s`, `2h`, `1d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match spec::duration(text) {
        Some(duration) if duration <= DURATION_MAX => Ok(duration),
        Some(_) => Err("write a duration up to `1d`".to_owned()),
        None => Err(spec::duration_hint(text)),
    }
}

#[cfg(test)]
mod tests {
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
    fn durations_are_those_of_specs_up_to_a_day() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("500").unwrap_err(), "say the unit, for example `500s` or `500ms`");
        assert!(duration("1d1ms").unwrap_err().contains("up to `1d`"));
        assert!(duration("soon").unwrap_err().contains("`1.5s`"));
    }
}
