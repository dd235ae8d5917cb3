//! The harness gives a cell its environment and records its actions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

use std::{
    future,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use cbs::{Cell, CellContext, CellEnv, CellError, Code, Envelope, NativeCell};
use serde_json::{Value, json};
use testkit::Harness;

async fn order(context: &CellContext, count: u32) -> Result<Value, CellError> {
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(
            match context.call::<_, Value>("stock.reserve", &json!({ "count": 1 })).await {
                Ok(value) => value,
                Err(error) => json!(error.to_string()),
            },
        );
    }
    context.publish("order.placed", &json!({ "count": count })).await?;
    Ok(json!(answers))
}

#[tokio::test]
async fn scripted_answers_come_in_turn_and_the_last_again_and_again() {
    let harness = Harness::new()
        .reply("stock.reserve", json!(1))
        .fail("stock.reserve", CellError::domain("stock.empty", "no more"))
        .reply("stock.reserve", json!(3));
    let answered = harness.call(&cbs::cell("shop.order", order), json!(4)).await;
    assert_eq!(answered, Ok(json!([1, "stock.empty: no more", 3, 3])));
    assert_eq!(harness.calls(), vec![("stock.reserve".to_owned(), json!({ "count": 1 })); 4]);
    assert_eq!(harness.events(), [("order.placed".to_owned(), json!({ "count": 4 }))]);
    assert_eq!(harness.requests()[0].source.cell, "cell shop.order");
}

#[tokio::test]
async fn a_cell_that_is_not_scripted_is_not_found() {
    let answered = Harness::new().call(&cbs::cell("shop.order", order), json!(1)).await.unwrap();
    assert!(
        answered[0].as_str().unwrap().starts_with("not-found: nobody serves cell stock.reserve"),
        "{answered}"
    );
}

#[tokio::test]
async fn bad_input_is_refused_as_in_a_body() {
    let error =
        Harness::new().call(&cbs::cell("shop.order", order), json!("many")).await.unwrap_err();
    assert_eq!(error.code, Code::BadRequest);
}

async fn greet(context: &CellContext, (): ()) -> Result<String, CellError> {
    let name = context.ask("Your name?").await?.unwrap_or_else(|| "world".to_owned());
    context.print(format!("Hello, {name}!")).await?;
    Ok(context.env().config["greeting"].to_string())
}

#[tokio::test]
async fn the_terminal_and_the_config_are_scripted() {
    let harness = Harness::new().with_config(json!({ "greeting": 7 })).type_line("Ada");
    let cell = cbs::cell("io.greet", greet);
    for _ in 0..2 {
        assert_eq!(harness.call(&cell, json!(null)).await, Ok(json!("7")));
    }
    // There is no second line.
    assert_eq!(harness.printed(), ["Hello, Ada!", "Hello, world!"]);
    assert_eq!(harness.asked(), ["Your name?", "Your name?"]);
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_hangs_times_out() {
    async fn hang(_: &CellContext, (): ()) -> Result<(), CellError> {
        future::pending().await
    }
    let harness = Harness::new().with_timeout(Duration::from_secs(3600));
    let error = harness.call(&cbs::cell("demo.hangs", hang), json!(null)).await.unwrap_err();
    assert_eq!(error.code, Code::Timeout);
}

/// A cell that counts its starts and stops, and fails its first start.
#[derive(Default)]
struct Counted {
    starts: AtomicUsize,
    stops: AtomicUsize,
}

impl Cell for Counted {
    async fn call(&self, _: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        let counts = format!("{:?} {:?} {}", self.starts, self.stops, request.payload.len());
        Ok(Envelope { schema: "demo/v1/Counts".into(), ..Envelope::reply(counts) })
    }

    async fn start(&self, _: &CellEnv) -> Result<(), CellError> {
        match self.starts.fetch_add(1, Ordering::SeqCst) {
            0 => Err(CellError::new(Code::Unavailable, "not yet")),
            _ => Ok(()),
        }
    }

    async fn stop(&self) {
        self.stops.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_cell_is_started_before_its_first_call_and_again_after_a_stop() {
    let harness = Harness::new();
    let cell = NativeCell::new("demo.count", Counted::default());
    let request = || Envelope::request("demo.count".parse().unwrap(), vec![0xCB, 1]);
    assert_eq!(harness.send(&cell, request()).await.unwrap_err().code, Code::Unavailable);
    for _ in 0..2 {
        let sent = request();
        let reply = harness.send(&cell, sent.clone()).await.unwrap();
        assert_eq!((reply.id, &*reply.schema), (sent.id, "demo/v1/Counts"));
        assert_eq!(reply.payload, "2 0 2");
    }
    harness.stop(&cell).await;
    assert_eq!(harness.send(&cell, request()).await.unwrap().payload, "3 1 2");
}
