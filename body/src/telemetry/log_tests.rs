//! Filters.

use super::*;

#[test]
fn a_filter_is_levels_and_levels_by_target() {
    for good in ["info", "warn,bus_nats=trace", "off", "info,cbs::cell=debug", "DEBUG", "info,"] {
        assert!(parse(good).is_ok(), "{good}");
    }
}

#[test]
fn what_is_no_filter_is_named() {
    for (wrong, named) in [("infoo", "infoo"), ("info,bus_nats=loud", "bus_nats=loud"), ("warn,verbose", "verbose")] {
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
    Ok(())
}
