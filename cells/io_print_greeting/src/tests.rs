use cbs::Code;
use testkit::{Harness, json};

#[tokio::test]
async fn a_greeting_is_printed_and_given_back() {
    let harness = Harness::new();
    let greeting = json!({"text": "Hello, Ada!"});
    assert_eq!(harness.call(&crate::cell(), greeting.clone()).await, Ok(greeting));
    assert_eq!(harness.printed(), ["Hello, Ada!"]);
}

#[tokio::test]
async fn what_is_no_greeting_is_not_printed() {
    let harness = Harness::new();
    let error = harness.call(&crate::cell(), json!({"txt": "Hello"})).await.unwrap_err();
    assert_eq!(error.code, Code::BadRequest);
    assert!(harness.printed().is_empty());
}
