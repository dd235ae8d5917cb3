//! `payloads.json`: payloads that are JSON, and some that are not. (Its integers beyond 64 bits are
//! tested in `tests/context.rs`.)

use cbs::{Bytes, CellError, Code, from_json, to_json};
use serde::Deserialize;
use serde_json::{Value, json};

use testkit::vectors::{read, unhex};

#[derive(Deserialize)]
struct Payloads {
    accepted: Vec<Payload>,
    refused: Vec<Payload>,
}

#[derive(Deserialize)]
struct Payload {
    name: String,
    payload: String,
    times: Option<usize>,
}

impl Payload {
    fn read(&self) -> Result<Value, CellError> {
        from_json(&Bytes::from(unhex(&self.payload).repeat(self.times.unwrap_or(1))))
    }
}

fn payloads() -> Payloads {
    read("payloads.json")
}

#[test]
fn json_is_read_and_written() {
    for payload in payloads().accepted {
        let value = payload.read().unwrap_or_else(|error| panic!("{}: {error}", payload.name));
        assert_eq!(from_json(&to_json(&value).unwrap()), Ok(value), "{}", payload.name);
    }
}

#[test]
fn what_is_no_json_is_a_bad_request() {
    for payload in payloads().refused {
        let error = payload.read().expect_err(&payload.name);
        assert_eq!(
            (error.code, error.details),
            (Code::BadRequest, Some(json!({ "path": "." }))),
            "{}",
            payload.name
        );
        assert!(error.message.starts_with("the payload: "), "{}: {}", payload.name, error.message);
    }
}
