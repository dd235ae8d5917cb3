//! Durations: accepted and refused texts; each written duration can be read again.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// True if an editor accepts the text as a duration.
static PATTERN: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    jsonschema::validator_for(&serde_json::json!({ "pattern": DURATION_PATTERN })).unwrap()
});

#[test]
fn durations_have_one_grammar() {
    for (text, millis) in [
        ("1ms", 1),
        ("500ms", 500),
        ("1.5s", 1_500),
        ("0.25s", 250),
        ("1m30s", 90_000),
        ("1h0m0s", 3_600_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("1.5d", 129_600_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("1m0.001s", 60_001),
    ] {
        assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for text in [
        "",
        "5",
        "1.5",
        "s",
        "ms",
        ".5s",
        "5.s",
        "-1s",
        "+1s",
        "5 s",
        " 5s",
        "0s",
        "0.0s",
        "1s1s",
        "1s1m",
        "1.5m30s",
        "1e3s",
        "05s",
        "1.5ms",
        "0.0001s",
        "5S",
        "5sec",
        "5min",
        "1w",
        "1234567890s",
        "1.0000000001s",
        "NaN",
        "inf",
        "1,5s",
        "\u{665}s",
    ] {
        assert_eq!(duration(text), None, "{text}");
    }
    assert_eq!(duration_hint("500"), "say the unit, for example `500s` or `500ms`");
    assert!(duration_hint("5 s").contains("`1m30s`") && duration_hint("").contains("`1m30s`"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_is_read_as_the_same(millis in prop_oneof![1_u64..10_000, 1_u64..1_000_000_000]) {
        let whole = Duration::from_millis(millis);
        prop_assert_eq!(duration(&duration_text(whole)), Some(whole));
    }

    #[test]
    fn parts_add_up(parts in prop::collection::vec(prop::option::of(0_u64..1000), 5)) {
        let given = || parts.iter().zip(UNITS).filter_map(|(part, unit)| part.map(|part| (part, unit)));
        let written: String = given().map(|(part, (unit, _))| format!("{part}{unit}")).collect();
        let millis: u64 = given().map(|(part, (_, length))| part * length).sum();
        let expected = (millis > 0).then(|| Duration::from_millis(millis));
        prop_assert_eq!(duration(&written), expected, "{}", written);
    }

    #[test]
    fn the_editors_pattern_takes_what_is_a_duration(text in "[0-9.dhms -]{0,8}") {
        let is_drawn = PATTERN.is_valid(&serde_json::json!(text));
        prop_assert!(duration(&text).is_none() || is_drawn, "{}", text);
    }
}
