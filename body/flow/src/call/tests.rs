//! The text of a call's name, both ways.

use proptest::prelude::*;

use super::*;

#[test]
fn what_is_no_name_of_a_call_is_refused() {
    for text in [
        "",
        "Greet",
        "greet#0",
        "greet#+1",
        "greet#01",
        "greet[",
        "greet[]",
        "greet[x]",
        "greet[1]/catch",
        "greet/catch#1",
        "#1",
    ] {
        let error = text.parse::<CallId>().expect_err(text);
        assert!(error.to_string().contains("write `step`"), "{error}");
    }
}

proptest! {
    #[test]
    fn a_name_reads_back(step in "[a-z][a-z0-9_-]{0,20}", item in prop::option::of(any::<u32>()), attempt in any::<u32>()) {
        let step = Text::from(step);
        for call in [CallId::attempt_of(&step, item, attempt), CallId::fallback_of(&step)] {
            let text = call.to_string();
            prop_assert_eq!(&text.parse::<CallId>().unwrap(), &call);
            prop_assert_eq!(serde_json::to_value(&call).unwrap(), serde_json::Value::String(text));
        }
    }
}
