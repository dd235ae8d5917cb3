use cbs::Code;
use testkit::{Harness, json};

use super::first_filled;

#[tokio::test]
async fn a_name_in_the_input_is_taken_and_nobody_is_asked() {
    let harness = Harness::new().type_line("Grace");
    assert_eq!(
        harness.call(&crate::cell(), json!({"name": " Ada "})).await,
        Ok(json!({"name": "Ada"}))
    );
    assert!(harness.asked().is_empty());
}

#[tokio::test]
async fn without_a_name_the_person_is_asked() {
    for input in [json!({}), json!(null), json!({"name": null})] {
        let harness = Harness::new().type_line(" Grace\t");
        assert_eq!(harness.call(&crate::cell(), input).await, Ok(json!({"name": "Grace"})));
        assert_eq!(harness.asked(), ["What is your name? "]);
    }
}

#[tokio::test]
async fn where_nobody_answers_there_is_a_name_all_the_same() {
    let expected = first_filled([std::env::var("USER").ok()]);
    for harness in [Harness::new(), Harness::new().type_line("  ")] {
        assert_eq!(
            harness.call(&crate::cell(), json!({})).await,
            Ok(json!({"name": expected.trim()}))
        );
    }
}

#[test]
fn the_first_text_that_says_something_wins() {
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(first_filled([text("Grace"), text("ada")]), "Grace");
    assert_eq!(first_filled([text(" \n"), text("ada")]), "ada");
    assert_eq!(first_filled([None, text("ada")]), "ada");
    assert_eq!(first_filled([None, text("")]), "world");
}

#[tokio::test]
async fn a_name_has_1_to_200_characters() {
    let harness = Harness::new();
    let longest = "é".repeat(200);
    let named = harness.call(&crate::cell(), json!({ "name": longest })).await;
    assert_eq!(named, Ok(json!({ "name": longest })));
    for name in ["", "  ", &"é".repeat(201)] {
        let error = harness.call(&crate::cell(), json!({ "name": name })).await.unwrap_err();
        assert_eq!(error.code, Code::BadRequest, "{name}");
    }
}

#[tokio::test]
async fn a_misspelt_field_is_a_bad_request() {
    let error = Harness::new().call(&crate::cell(), json!({"nam": "Ada"})).await.unwrap_err();
    assert_eq!(error.code, Code::BadRequest);
    assert!(error.message.contains("nam"), "{}", error.message);
}
