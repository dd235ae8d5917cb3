//! Tests of filters.

use super::*;

#[test]
fn a_filter_is_levels_and_levels_by_target() {
    for good in ["info", "warn,bus_nats=trace", "off", "info,cbs::cell=debug", "DEBUG", "info,"] {
        assert!(parse(good).is_ok(), "{good}");
    }
}

#[test]
fn what_is_no_filter_is_named() {
    for (wrong, named) in [
        ("", "is empty"),
        (" , ", "is empty"),
        ("infoo", "infoo"),
        ("info,bus_nats=loud", "bus_nats=loud"),
        ("warn,verbose", "verbose"),
    ] {
        let error = parse(wrong).err().unwrap_or_default();
        assert!(error.contains(named) && error.contains("write `info`"), "{wrong}: {error}");
    }
}

#[test]
fn libraries_are_quiet_unless_they_are_named() -> Result<(), String> {
    let all = parse("trace")?.to_string();
    assert!(all.contains("async_nats=off") && all.contains("h2=off"), "{all}");
    let named = parse("info,async_nats=trace")?.to_string();
    assert!(named.contains("async_nats=trace") && !named.contains("async_nats=off"), "{named}");
    let part = parse("info,async_nats::connection=trace")?.to_string();
    assert!(!part.contains("async_nats=off"), "{part}");
    // Names of other targets that contain the names of libraries.
    let alike = parse("trace,my_hyperdrive=trace,hyper_util=info,cbs::tower=debug")?.to_string();
    for quiet in ["hyper=off", "tower=off", "async_nats=off"] {
        assert!(alike.contains(quiet), "{quiet} is not in {alike}");
    }
    Ok(())
}

#[test]
fn a_filter_has_an_end() {
    let long = vec!["a=info"; 1_000].join(",");
    assert!(
        parse(&long).is_err_and(|error| error.contains("at most 1024 bytes")),
        "{}",
        long.len()
    );
}
