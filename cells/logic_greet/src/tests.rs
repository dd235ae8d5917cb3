use cbs::{CellError, Code};
use testkit::{Harness, Value, json};

async fn greet(input: Value) -> Result<Value, CellError> {
    Harness::new().call(&crate::cell(), input).await
}

#[tokio::test]
async fn a_name_is_greeted() {
    assert_eq!(greet(json!({"name": "Ada"})).await, Ok(json!({"text": "Hello, Ada!"})));
}

#[tokio::test]
async fn a_name_of_any_script_is_greeted() {
    assert_eq!(greet(json!({"name": "Ада 🦀"})).await, Ok(json!({"text": "Hello, Ада 🦀!"})));
}

#[tokio::test]
async fn what_is_no_name_is_a_bad_request_with_the_place() {
    for (input, place) in
        [(json!({"nam": 1}), "name"), (json!({"name": 1}), "`name`"), (json!(null), "null")]
    {
        let error = greet(input).await.unwrap_err();
        assert_eq!(error.code, Code::BadRequest);
        assert!(error.message.contains(place), "{}", error.message);
    }
}
