//! BUS-8, BUS-11: messages that are too large, and calls that are too many.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use cbs::{BusError, Code, Envelope, Outcome};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    Stage,
    parts::{
        AT_ONCE, CELL, STEP, assert_fails, call, echo, event, publish, request, serve, target,
        timed_call,
    },
};
use crate::within;

/// Space for a header in a message that just fits.
const HEADER_ROOM: usize = 1024;

/// **BUS-8**
pub async fn bus_8_what_is_too_large_is_not_sent(stage: Stage) {
    let handed = Arc::new(AtomicUsize::new(0));
    let count = handed.clone();
    let _serving = serve(&stage.callee(), CELL, move |request: Envelope| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { Ok(Envelope::reply(request.payload.len().to_string())) }
    })
    .await;
    let fits = vec![7; stage.payload_max - HEADER_ROOM];
    let reply = call(&stage.caller, request(CELL, fits.clone())).await.expect("it fits");
    assert_eq!(reply.payload, fits.len().to_string());
    assert_eq!(publish(&stage.caller, event("order.created", fits)).await, Ok(()));

    let large = vec![7; stage.payload_max + 1];
    let (answer, took) = timed_call(&stage.caller, request(CELL, large.clone())).await;
    assert_fails(&answer, &Code::TooLarge, Outcome::NotRun);
    assert!(took < AT_ONCE, "it took {took:?}");
    let published = publish(&stage.caller, event("order.created", large)).await;
    assert_eq!(published.map_err(|error| error.code().clone()), Err(Code::TooLarge));
    assert_eq!(handed.load(Ordering::SeqCst), 1, "calls that the handler was handed");
    // The connection still works.
    call(&stage.caller, request(CELL, "{}")).await.expect("it is served");
}

/// **BUS-8**
pub async fn bus_8_a_reply_that_is_too_large_is_an_error(stage: Stage) {
    let large = stage.payload_max + 1;
    let _serving = serve(&stage.callee(), CELL, move |request: Envelope| async move {
        let size = if request.payload.is_empty() { large } else { 1 };
        Ok(Envelope::reply(vec![7; size]))
    })
    .await;
    let (answer, took) = timed_call(&stage.caller, request(CELL, "")).await;
    assert_fails(&answer, &Code::TooLarge, Outcome::Ran);
    assert!(took < AT_ONCE, "it took {took:?}");
    call(&stage.caller, request(CELL, "{}")).await.expect("it is served");
}

/// **BUS-8**
pub async fn bus_8_attributes_that_do_not_fit_are_refused(stage: Stage) {
    let many =
        |count: usize| (0..count).map(|n| (format!("k{n}").into(), "v".into())).collect::<Vec<_>>();
    let _serving = serve(&stage.callee(), CELL, move |request: Envelope| async move {
        let attributes = if request.payload.is_empty() { many(33) } else { many(32) };
        Ok(Envelope { attributes, ..Envelope::reply("{}") })
    })
    .await;
    let fits = call(&stage.caller, Envelope { attributes: many(32), ..request(CELL, "{}") }).await;
    assert_eq!(fits.expect("it fits").attributes.len(), 32);
    let sent = call(&stage.caller, Envelope { attributes: many(33), ..request(CELL, "{}") }).await;
    assert_fails(&sent, &Code::TooLarge, Outcome::NotRun);
    assert_fails(&call(&stage.caller, request(CELL, "")).await, &Code::TooLarge, Outcome::Ran);
    let published =
        publish(&stage.caller, Envelope { attributes: many(33), ..event("order.created", "{}") })
            .await;
    assert_eq!(published.map_err(|error| error.code().clone()), Err(Code::TooLarge));
}

/// **BUS-11**
pub async fn bus_11_a_full_queue_refuses_calls(stage: Stage) {
    // A handler without capacity refuses the call, and its caller gets the error at once.
    let _full = serve(&stage.callee(), "demo.full", |_| async {
        Err(BusError::overloaded(&target("demo.full")))
    })
    .await;
    let (answer, took) = timed_call(&stage.caller, request("demo.full", "{}")).await;
    assert_fails(&answer, &Code::Overloaded, Outcome::NotRun);
    assert!(answer.is_err_and(|error| error.error().retryable));
    assert!(took < AT_ONCE, "it took {took:?}");
    // The bus's own queue, if it has one.
    let Some(queue) = stage.call_queue else { return };
    let gate = Arc::new(Semaphore::new(0));
    let open = gate.clone();
    let _serving = serve(&stage.callee(), CELL, move |request| {
        let gate = gate.clone();
        async move {
            let _open = gate.acquire().await.expect("the gate is never closed");
            echo(request).await
        }
    })
    .await;
    let over = 50;
    let mut calls = JoinSet::new();
    for _ in 0..queue + over {
        let caller = stage.caller.clone();
        calls.spawn(async move { call(&caller, request(CELL, "{}")).await });
    }
    for _ in 0..over {
        let refused =
            within(STEP, "a refused call", calls.join_next()).await.expect("calls are left");
        assert_fails(&refused.expect("a caller"), &Code::Overloaded, Outcome::NotRun);
    }
    open.add_permits(queue);
    for answer in within(STEP, "the calls that fitted", calls.join_all()).await {
        answer.expect("a call that was taken is answered");
    }
}
