use super::*;

#[test]
fn moments_are_days_of_the_calendar() {
    for (millis, text) in [
        (0, "1970-01-01 00:00:00"),
        (951_782_400_000, "2000-02-29 00:00:00"),
        (1_709_251_199_999, "2024-02-29 23:59:59"),
        (1_795_255_620_000, "2026-11-21 10:07:00"),
    ] {
        assert_eq!(moment(millis), text);
    }
}
