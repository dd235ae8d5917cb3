//! Formats that a client accepts: the `Accept` header (RFC 9110, section 12.5.1).

use hyper::{HeaderMap, header::ACCEPT};

use crate::metrics::Form;

/// Returns the format for metrics: OpenMetrics if a client names it and prefers it at least as much
/// as plain text.
pub(super) fn form(headers: &HeaderMap) -> Form {
    let mut open = 0;
    let mut plain = 0;
    for (media, weight) in wanted(headers) {
        let best = match media.split(';').next().unwrap_or_default().trim() {
            // Only the first version that was a standard.
            "application/openmetrics-text" if !media.contains("version=0.0.1") => &mut open,
            "text/plain" => &mut plain,
            _ => continue,
        };
        *best = weight.max(*best);
    }
    if open > 0 && open >= plain { Form::OpenMetrics } else { Form::Prometheus }
}

/// True if the client names JSON.
pub(super) fn json(headers: &HeaderMap) -> bool {
    let name =
        |media: &str| media.split(';').next().unwrap_or_default().trim() == "application/json";
    wanted(headers).any(|(media, weight)| weight > 0 && name(&media))
}

/// Returns the accepted formats, in small letters without blanks, with their weights in
/// thousandths.
fn wanted(headers: &HeaderMap) -> impl Iterator<Item = (String, u32)> {
    let values = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|media| {
        let media: String =
            media.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
        let weight =
            media.split(';').find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
        (media, weight)
    })
}

/// Reads a weight: `1`, `0.5`, `0.123`. Any other text has the weight 0.
fn thousandths(text: &str) -> u32 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    match (whole.parse::<u32>(), part.parse::<u32>()) {
        (Ok(0), Ok(part)) => part,
        (Ok(1), Ok(0)) => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn asked(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))])
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        for open in [
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text ; q=0.5, text/plain;q=0.5",
        ] {
            assert_eq!(form(&asked(open)), Form::OpenMetrics, "{open}");
        }
        for plain in [
            "*/*",
            "",
            "text/plain;version=0.0.4",
            "text/plain, application/openmetrics-text;q=0.9",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=x",
        ] {
            assert_eq!(form(&asked(plain)), Form::Prometheus, "{plain}");
        }
        assert_eq!(form(&HeaderMap::new()), Form::Prometheus);
    }

    #[test]
    fn json_is_for_those_who_ask_for_it() {
        assert!(
            json(&asked("application/json")) && json(&asked("text/html, application/json;q=0.1"))
        );
        assert!(
            !json(&asked("*/*"))
                && !json(&asked("application/json;q=0"))
                && !json(&HeaderMap::new())
        );
    }
}
