//! The scripted peer answers as the test says, and panics at anything else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use std::{panic::AssertUnwindSafe, sync::Arc};

use cbs::{BodyBus, BusError, CellError, Code, Envelope, Outcome};
use futures::FutureExt;
use serde_json::{Value, json};

fn request(target: &str) -> Envelope {
    Envelope::request(target.parse().unwrap(), r#"{"count":1}"#)
}

fn event() -> Envelope {
    Envelope::event("order.placed".parse().unwrap(), "7")
}

/// Returns the message with which the future panics.
async fn panic_of(future: impl Future) -> String {
    let panic = AssertUnwindSafe(future).catch_unwind().await.map(drop).expect_err("it must panic");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

async fn call(bus: &Arc<dyn BodyBus>, target: &str) -> Result<Envelope, BusError> {
    bus.call(request(target)).await
}

#[tokio::test]
async fn calls_and_events_come_in_order_and_are_answered() {
    let (bus, mut peer) = testkit::peer();
    let code = async move {
        let first = call(&bus, "stock.reserve").await.unwrap();
        bus.publish(event()).await.unwrap();
        (first, call(&bus, "flow pay").await, call(&bus, "stock.free").await)
    };
    let test = async move {
        let first = peer.expect("stock.reserve").await;
        assert_eq!(first.input::<Value>(), json!({ "count": 1 }));
        let id = first.envelope().id;
        first.reply(json!("yes"));
        assert_eq!(peer.expect_event("order.placed").await.payload, "7");
        peer.expect("flow pay").await.fail(CellError::domain("pay.refused", "no"));
        let target = "stock.free".parse().unwrap();
        peer.expect("stock.free").await.answer(Err(BusError::overloaded(&target)));
        peer.expect_end().await;
        id
    };
    let ((first, second, third), id) = tokio::join!(code, test);
    assert_eq!((first.id, first.payload), (id, "\"yes\"".into()));
    assert_eq!(second.unwrap_err().outcome(), Outcome::Ran);
    assert_eq!(third.unwrap_err().code(), &Code::Overloaded);
}

#[tokio::test]
async fn what_comes_instead_is_told() {
    let (bus, mut peer) = testkit::peer();
    let (_, said) = tokio::join!(call(&bus, "stock.free"), panic_of(peer.expect("stock.reserve")));
    assert_eq!(
        said,
        "expected a call of cell stock.reserve, and there came a call of cell stock.free with {\"count\":1}"
    );
    bus.publish(event()).await.unwrap();
    let said = panic_of(peer.expect("stock.reserve")).await;
    assert_eq!(
        said,
        "expected a call of cell stock.reserve, and there came an event on topic order.placed with 7"
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_is_told() {
    let (bus, mut peer) = testkit::peer();
    let said = panic_of(peer.expect_event("order.placed")).await;
    assert_eq!(said, "expected an event on topic order.placed, and nothing came within 5s");
    drop(bus);
    let said = panic_of(peer.expect("stock.reserve")).await;
    assert_eq!(
        said,
        "expected a call of cell stock.reserve, and the code under test has dropped its bus"
    );
}

#[tokio::test]
async fn what_nobody_expected_is_told_at_the_end() {
    let (bus, peer) = testkit::peer();
    bus.publish(event()).await.unwrap();
    let said = panic_of(async { drop(peer) }).await;
    assert_eq!(said, "expected no more, and there came an event on topic order.placed with 7");
    assert_eq!(call(&bus, "stock.free").await.unwrap_err().code(), &Code::Unavailable);
}

#[tokio::test]
async fn a_request_that_is_dropped_has_an_unknown_outcome() {
    let (bus, mut peer) = testkit::peer();
    let (answer, ()) =
        tokio::join!(call(&bus, "stock.free"), async { drop(peer.expect("stock.free").await) });
    assert_eq!(answer.unwrap_err().outcome(), Outcome::Unknown);
}
