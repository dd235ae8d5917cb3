//! Messages of errors: they say the reason and never hold a value.

use super::*;

fn said(text: &str) -> Option<String> {
    in_words(text)
}

#[test]
fn values_become_their_kinds() {
    for (text, words) in [
        ("cannot calculate {\"a\":\"}\\\"b\"} + 1", "cannot add a map and a number"),
        ("cannot calculate [1,[2]] - null", "cannot subtract null from a list"),
        ("cannot calculate \"a + b\" * {}", "cannot multiply a text and a map"),
        ("cannot calculate true / -1.5e3", "cannot divide a boolean by a number"),
        ("cannot calculate null % NaN", "cannot divide null by a number"),
        ("cannot index b\"\\x00\" with \"x\"", "cannot index a text with a text"),
        (
            "cannot use 5 as iterable (array or object)",
            "cannot use a number as iterable (a list or a map)",
        ),
        ("true has no length", "a boolean has no length"),
        (
            "invalid path expression with input -Infinity",
            "invalid path expression with input a number",
        ),
    ] {
        assert_eq!(said(text).as_deref(), Some(words), "{text}");
    }
}

#[test]
fn a_word_that_is_not_jaqs_is_not_told() {
    for text in [
        "cannot use SECRET as string",
        "SECRET",
        "Invalid byte 33, offset 0.",
        "cannot: index",
        "\"open",
        "ä",
        "[",
    ] {
        assert_eq!(said(text), None, "{text}");
    }
}
