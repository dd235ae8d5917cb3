//! Texts that are JSON or are not, and values that keep their text.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Json, CellError> {
    Json::read(&Bytes::from(text.to_owned()))
}

#[test]
fn a_text_that_is_json_is_kept_and_another_is_a_bad_request() {
    for text in [
        "null",
        " [1, 2.50] ",
        "12345678901234567890123",
        "-0",
        "1e2",
        "{\"a\":1,\"a\":2}",
        "\"\\u00e4\"",
    ] {
        let json = read(text).unwrap();
        assert_eq!((json.to_string().as_str(), json.parsed().is_some()), (text, true), "{text}");
    }
    assert_eq!(read("").unwrap(), Json::null());
    for text in [
        "{",
        "nul",
        "01",
        "+1",
        "1.",
        ".5",
        "NaN",
        "1 2",
        "{\"a\" 1}",
        "\"\\ud800\"",
        "1e999",
        "# 1",
        "b\"x\"",
    ] {
        assert_eq!(read(text).unwrap_err().code, cbs::Code::BadRequest, "{text}");
    }
    assert!(
        read(&"[".repeat(200)).is_err()
            && read(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_err()
    );
    assert!(Json::read(&Bytes::from_static(b"\"\xff\"")).is_err());
}

#[test]
fn null_and_false_are_no() {
    for (text, is_no) in
        [("null", true), (" false\n", true), ("0", false), ("\"\"", false), ("[]", false)]
    {
        assert_eq!(read(text).unwrap().is_no(), is_no, "{text}");
    }
}

#[test]
fn a_journal_keeps_every_digit() {
    let json = read("{\"id\": 12345678901234567890123}").unwrap();
    let journal = serde_json::to_string(&json).unwrap();
    assert_eq!(serde_json::from_str::<Json>(&journal).unwrap(), json);
    assert!(serde_json::from_str::<Json>("\"{\"").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_taken_is_what_serde_takes_and_jaq_reads(parts in prop::collection::vec(prop::sample::select(PARTS), 0..9)) {
        let text = parts.concat();
        let json = read(&text);
        let is_json = text.is_empty() || serde_json::from_str::<Value>(&text).is_ok();
        prop_assert_eq!(json.is_ok(), is_json, "{}", &text);
        if let Ok(json) = json {
            prop_assert!(json.parsed().is_some(), "jaq does not read {}", text);
        }
    }
}

const PARTS: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    " ",
    "\n",
    "\"",
    "\"a\"",
    "\\",
    "\\u",
    "d83d",
    "\\ude00",
    "\\n",
    "1",
    "0",
    "-",
    "+",
    ".",
    "e",
    "E",
    "5",
    "null",
    "true",
    "false",
    "NaN",
    "9999999999999999999999",
    "1e400",
    "#",
    "ä",
];
