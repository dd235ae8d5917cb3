use super::*;

#[test]
fn a_version_is_found_in_what_programs_say() {
    assert_eq!(numbers("nats-server: v2.15.1"), Some((2, 15)));
    assert_eq!(numbers("rustc 1.95.0 (abc 2026-04-14)"), Some((1, 95)));
    assert_eq!(numbers("2.12.0-RC.1"), Some((2, 12)));
    assert_eq!(numbers("no numbers. here"), None);
}
