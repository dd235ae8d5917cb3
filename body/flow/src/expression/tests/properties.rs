//! Any value passes through unchanged. Any text is an expression or a mistake, and ends.

use proptest::prelude::*;

use super::*;

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e12..1e12).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_value_through_jq_is_the_same_value(value in json_value()) {
        let text = value.to_string();
        prop_assert_eq!(text_on("[.input][0] | .", &text), Ok(text));
    }

    #[test]
    fn any_text_is_an_expression_or_a_mistake(code in "\\PC{0,60}") {
        let _ = compile(&code);
    }

    #[test]
    fn anything_that_looks_like_jq_ends(parts in prop::collection::vec(prop::sample::select(PARTS), 1..14), input in json_value()) {
        let code = parts.join(" ");
        if compile(&code).is_ok() {
            let _ = run_on(&code, input);
        }
    }
}

const PARTS: &[&str] = &[
    ".",
    ".input",
    ".steps",
    ".ask",
    "|",
    ",",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "a",
    ":",
    "1",
    "-",
    "+",
    "*",
    "/",
    "%",
    "//",
    "==",
    "<",
    "\"x\"",
    "\"\\(",
    ")\"",
    "=",
    "|=",
    "+=",
    "*=",
    "if",
    "then",
    "else",
    "end",
    "try",
    "catch",
    "reduce",
    "foreach",
    "as",
    "$x",
    ";",
    ".[]",
    ".[0]",
    "[1:]",
    "?",
    "range(9)",
    "map(",
    "sort",
    "add",
    "length",
    "tojson",
    "fromjson",
    "keys",
    "flatten",
    "select(",
    "label",
    "break",
    "not",
    "and",
    "or",
    "first",
    "join(\"a\")",
    "@base64",
    "..",
    "1e1000",
    "9223372036854775807",
    "-9223372036854775808",
];
