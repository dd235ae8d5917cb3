use super::*;

#[test]
fn what_a_header_cannot_hold_is_left_out_of_an_error() {
    let error = |message: &str, details: usize| {
        let error =
            CellError::domain("a.b", message).retryable().with_details("x".repeat(details).into());
        BusError::new(error, Outcome::Ran)
    };
    assert_eq!(error("short", 60_000).shortened(), error("short", 60_000));
    let details = error("short", 70_000).shortened();
    assert_eq!((&*details.error().message, &details.error().details), ("short", &None));
    assert_eq!((details.error().retryable, details.outcome()), (true, Outcome::Ran));
    let message = error(&"é".repeat(70_000), 1).shortened();
    let written = frame::encode(&crate::Envelope::error(message));
    let read = frame::decode(written).map(crate::Envelope::into_result);
    assert!(matches!(read, Ok(Err(error)) if error.error().message.ends_with("é … (cut)")));
}
