//! Tests of which variable counts.

use super::*;

fn wanted(flags: &Flags, set: &[(&str, &str)]) -> Result<Wanted, String> {
    let var =
        |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    flags.wanted_in(0.01, &var).map_err(|failure| failure.message)
}

#[test]
fn without_a_word_one_in_a_hundred_is_recorded_and_nothing_sent() -> Result<(), String> {
    let wanted = wanted(&Flags::default(), &[])?;
    assert!(wanted.on && wanted.traces.is_none() && wanted.logs.is_none());
    assert_eq!((wanted.ratio, wanted.slow), (0.01, Duration::from_secs(1)));
    Ok(())
}

#[test]
fn the_sampler_of_opentelemetry_is_understood_and_our_own_ratio_counts_more() -> Result<(), String>
{
    for (sampler, arg, ratio) in [
        ("always_on", "", 1.0),
        ("parentbased_always_off", "", 0.0),
        ("parentbased_traceidratio", "0.25", 0.25),
        ("traceidratio", "nonsense", 1.0),
        ("nonsense", "", 0.01),
    ] {
        let set = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", arg)];
        assert_eq!(wanted(&Flags::default(), &set)?.ratio, ratio, "{sampler}");
        let own = Flags { trace_ratio: Some(Some(0.5)), ..Flags::default() };
        assert_eq!(wanted(&own, &set)?.ratio, 0.5, "{sampler}");
    }
    Ok(())
}

#[test]
fn the_signals_own_endpoint_counts_more_than_the_one_for_all_and_the_flag_most()
-> Result<(), String> {
    let set = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4317"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
    ];
    let shown = |endpoint: Option<Endpoint>| {
        endpoint.map(|endpoint| endpoint.to_string()).unwrap_or_default()
    };
    let found = wanted(&Flags::default(), &set)?;
    assert_eq!(
        (shown(found.traces), shown(found.logs)),
        ("http://traces:4317/".to_owned(), "http://all:4317/".to_owned())
    );
    let own = Flags { otlp: Some("https://own:443".to_owned()), ..Flags::default() };
    assert_eq!(shown(wanted(&own, &set)?.traces), "https://own:443/");
    let disabled = [&set[..], &[("OTEL_SDK_DISABLED", "true")]].concat();
    assert!(wanted(&Flags::default(), &disabled)?.traces.is_none());
    Ok(())
}

#[test]
fn wrong_addresses_and_headers_are_told_without_what_they_hold() {
    for (endpoint, headers) in [
        ("ftp://host", ""),
        ("host:4317", ""),
        ("http://me:hunter2@host:4317", ""),
        ("http://host:4317", "hunter2"),
        ("http://host:4317", "a b=hunter2"),
        ("http://host:4317", "key=hunter2\u{1}"),
    ] {
        let set =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_HEADERS", headers)];
        let error = wanted(&Flags::default(), &set).err().unwrap_or_default();
        assert!(
            error.contains("write") || error.contains("header"),
            "{endpoint} {headers}: {error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn nothing_is_recorded_or_sent_where_it_is_off() -> Result<(), String> {
    let off = Flags { telemetry: Switch::Off, ..Flags::default() };
    let wanted = wanted(&off, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:4317")])?;
    assert!(!wanted.on && wanted.traces.is_none());
    Ok(())
}
