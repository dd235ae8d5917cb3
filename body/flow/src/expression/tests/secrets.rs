//! No value leaves with an error.

use proptest::prelude::*;

use super::*;

const SECRET: &str = "SECRET";

/// A value with the secret in every text and key, and in its numbers.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (0..9_u64).prop_map(|n| json!(777_000_777_000_u64 + n)),
        Just(json!(777_000_777.25)),
        ".{0,4}".prop_map(|text| json!(format!("{text}{SECRET}{text}"))),
        Just(json!("{\"a\":[SECRET")),
        Just(json!("cannot index SECRET with")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|map| map
                .into_iter()
                .map(|(key, value)| (format!("{key}{SECRET}"), value))
                .collect()),
        ]
    })
}

/// Every function that a flow may call, on parts of the input.
fn code() -> impl Strategy<Value = String> {
    let argument = prop::sample::select(vec![
        ".", ".[0]", ".input", "$x", "1", "\"g\"", "[.]", "{a: .}", "tostring", "error(.)",
    ]);
    let call =
        (prop::sample::select(functions::FUNCTIONS), prop::collection::vec(argument.clone(), 3))
            .prop_map(|((name, arities), arguments)| match arities.last() {
                Some(0) | None => (*name).to_owned(),
                Some(arity) => format!("{name}({})", arguments[..*arity].join("; ")),
            });
    let operator =
        prop::sample::select(vec!["+", "-", "*", "/", "%", "|", "<", "and", "//", ",", "|="]);
    let part = prop_oneof![
        4 => call,
        1 => argument.prop_map(str::to_owned),
        1 => Just("-.".to_owned()),
        1 => Just(".[]".to_owned()),
        1 => Just(".[.input]?".to_owned()),
        1 => Just("try error(.) catch error(.)".to_owned()),
        1 => Just("try (. + 1) catch error(.)".to_owned()),
        1 => Just("{(.): 1}".to_owned()),
        1 => Just(".[2:$x]".to_owned()),
        1 => Just("\"cannot use \\(.) as\" | error".to_owned()),
    ];
    (part.clone(), operator, part).prop_map(|(left, operator, right)| {
        format!(".input as $x | $x | {left} {operator} ({right})")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_error_tells_a_value(value in value(), code in code()) {
        if compile(&code).is_ok()
            && let Err(failure) = text_on(&code, &value.to_string())
        {
            let reason = failure.message.rsplit_once("`: ").map_or("", |(_, reason)| reason);
            prop_assert!(!failure.message.contains(SECRET) && !reason.contains("777"), "{}", failure.message);
        }
    }
}

#[test]
fn an_error_names_kinds_and_the_log_has_the_values() {
    let input = r#"{"user":"ada","token":"tok-SECRET"}"#;
    for (code, reason) in [
        (".input + 1", "cannot add a map and a number"),
        ("1 - .input", "cannot subtract a map from a number"),
        (".input.token * {}", "cannot multiply a text and a map"),
        (".input.token / 2", "cannot divide a text by a number"),
        (".input.token % 2", "cannot divide a text by a number"),
        (".input.token.x", "cannot index a text with \"x\""),
        (".input.token | .x", "cannot index a text with a text"),
        (".input.token | keys", "cannot use a text as iterable (a list or a map)"),
        (".input | sort", "cannot use a map as a list"),
        (".input.token | implode", "cannot use a text as a list"),
        (".input | startswith(\"a\")", "cannot use a map as a text"),
        (".input.token | has(\"a\")", "cannot index a text with a text"),
        (".input | error", "it raised an error that is a map"),
        ("error(.input)", "it raised an error that is a map"),
        (
            "error(.input.token)",
            "it fails on these values, and the log of the flow's body has them",
        ),
        (".input | tonumber", "cannot use a map as a text"),
        (
            ".input.token | @base64d",
            "it fails on these values, and the log of the flow's body has them",
        ),
        (".input.token | test(\"(\" + .)", "the regular expression or its flags cannot be read"),
        ("-.input.token", "cannot use a text as a number"),
        ("[.input.token] | implode", "cannot use a text as a whole number"),
        ("[-9999999] | implode", "cannot use a number as a character"),
        (
            "try error(.input.token) catch error(.)",
            "it fails on these values, and the log of the flow's body has them",
        ),
    ] {
        let failure = text_on(code, input).expect_err(code);
        assert_eq!(failure.message, format!("`${{ {code} }}`: {reason}"));
        assert!(failure.values.is_some(), "{code}");
    }
    // What is the same for every value, the log need not have.
    for (code, reason) in [
        (".input.token | fromjson", "the text is no JSON"),
        (".input.token | tonumber", "the text is no JSON"),
        ("7 % 0", "cannot divide by 0"),
        ("error(\"no lines\")", "no lines"),
        (
            "if .input.user then error(\"no \\(\"lines\")\") else 1 end",
            "it fails on these values, and the log of the flow's body has them",
        ),
    ] {
        let failure = text_on(code, input).expect_err(code);
        assert!(failure.message.ends_with(reason), "{code}: {failure:?}");
    }
}
