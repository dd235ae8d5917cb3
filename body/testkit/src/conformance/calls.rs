//! BUS-1, BUS-3, BUS-9: timeouts, and targets that are not served.

use std::{
    future,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cbs::{Code, Envelope, Outcome, TIMEOUT_DEFAULT};
use tokio::task::JoinSet;

use super::{
    Stage,
    parts::{
        AT_ONCE, CELL, assert_fails, assert_nobody, call, echo, request, serve, stop, target,
        timed_call,
    },
};

/// Time before its timeout at which a call may end: clocks and the wire count whole milliseconds.
const EARLY: Duration = Duration::from_millis(5);

/// **BUS-1**
pub async fn bus_1_a_call_without_an_answer_ends_at_its_timeout(stage: Stage) {
    let _serving = serve(&stage.callee(), CELL, |_| future::pending()).await;
    let timeout = Duration::from_millis(300);
    let request = Envelope { timeout: Some(timeout), ..request(CELL, "{}") };
    let (answer, took) = timed_call(&stage.caller, request).await;
    assert_fails(&answer, &Code::Timeout, Outcome::Unknown);
    assert!(took + EARLY >= timeout && took < timeout + AT_ONCE, "it took {took:?}");
}

/// **BUS-1**
pub async fn bus_1_a_call_that_says_no_timeout_has_the_default(stage: Stage) {
    let _serving = serve(&stage.callee(), CELL, |_| future::pending()).await;
    let (answer, took) = timed_call(&stage.caller, Envelope::request(target(CELL), "{}")).await;
    assert_fails(&answer, &Code::Timeout, Outcome::Unknown);
    assert!(
        took + EARLY >= TIMEOUT_DEFAULT && took < TIMEOUT_DEFAULT + AT_ONCE,
        "it took {took:?}"
    );
}

/// **BUS-1**
pub async fn bus_1_a_call_without_any_time_left_ends_at_once(stage: Stage) {
    let _serving = serve(&stage.callee(), CELL, |_| future::pending()).await;
    let request = Envelope { timeout: Some(Duration::ZERO), ..request(CELL, "{}") };
    let (answer, took) = timed_call(&stage.caller, request).await;
    assert_eq!(answer.map_err(|error| error.code().clone()), Err(Code::Timeout));
    assert!(took < AT_ONCE, "it took {took:?}");
}

/// **BUS-1**
pub async fn bus_1_hanging_calls_do_not_hold_up_others(stage: Stage) {
    let _hangs = serve(&stage.callee(), "demo.hangs", |_| future::pending()).await;
    let _serving = serve(&stage.callee(), CELL, echo).await;
    let hang = Duration::from_secs(4);
    let mut hanging = JoinSet::new();
    for _ in 0..100 {
        let caller = stage.caller.clone();
        let request = Envelope { timeout: Some(hang), ..request("demo.hangs", "{}") };
        hanging.spawn(async move { call(&caller, request).await });
    }
    let started = Instant::now();
    for _ in 0..20 {
        call(&stage.caller, request(CELL, "{}")).await.expect("the other cell answers");
    }
    assert!(started.elapsed() < hang, "20 calls took {:?}", started.elapsed());
    for answer in hanging.join_all().await {
        assert_fails(&answer, &Code::Timeout, Outcome::Unknown);
    }
}

/// **BUS-2**
pub async fn bus_2_many_calls_at_once_get_their_own_replies(stage: Stage) {
    let _serving = serve(&stage.callee(), CELL, |request: Envelope| async move {
        // Later calls overtake earlier ones.
        for _ in 0..request.payload.len() % 7 {
            tokio::task::yield_now().await;
        }
        echo(request).await
    })
    .await;
    let mut calls = JoinSet::new();
    for number in 0..500 {
        let caller = stage.caller.clone();
        let payload = "x".repeat(number % 50) + &number.to_string();
        calls.spawn(async move { (call(&caller, request(CELL, payload.clone())).await, payload) });
    }
    for (answer, payload) in calls.join_all().await {
        let reply = answer.expect("every call is answered");
        assert_eq!(reply.payload, payload);
        assert_eq!(reply.via, stage.via.unwrap_or(reply.via));
    }
}

/// **BUS-3**
pub async fn bus_3_a_call_that_nobody_serves_fails_at_once(stage: Stage) {
    let _other = serve(&stage.callee(), CELL, echo).await;
    for name in ["demo.nobody", "nobody.home", "flow nobody"] {
        let (answer, took) = timed_call(&stage.caller, request(name, "{}")).await;
        assert_nobody(&answer);
        assert!(took < AT_ONCE, "{name} took {took:?}");
    }
}

/// **BUS-3**
pub async fn bus_3_a_call_of_what_is_served_no_more_fails_at_once(stage: Stage) {
    let stopped = serve(&stage.callee(), CELL, echo).await;
    let dropped = serve(&stage.callee(), "demo.dropped", echo).await;
    for name in [CELL, "demo.dropped"] {
        call(&stage.caller, request(name, "{}")).await.expect("it is served");
    }
    stop(stopped).await;
    drop(dropped);
    let (answer, took) = timed_call(&stage.caller, request(CELL, "{}")).await;
    assert_nobody(&answer);
    assert!(took < AT_ONCE, "it took {took:?}");
    // A dropped serving ends without a message: a call may still be taken for a moment.
    crate::eventually("the dropped cell is gone", AT_ONCE * 5, async || {
        let short = Envelope { timeout: Some(AT_ONCE), ..request("demo.dropped", "{}") };
        let answer = call(&stage.caller, short).await;
        matches!(&answer, Err(error) if error.outcome() == Outcome::NotRun)
    })
    .await;
}

/// **BUS-9**
pub async fn bus_9_a_handler_sees_what_remains_of_the_callers_time(stage: Stage) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    let _serving = serve(&stage.callee(), CELL, move |request: Envelope| {
        record.lock().unwrap().push(request.timeout);
        echo(request)
    })
    .await;
    let sent = [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(3600)];
    for timeout in sent {
        call(&stage.caller, Envelope { timeout: Some(timeout), ..request(CELL, "{}") })
            .await
            .expect("it is served");
    }
    for (sent, seen) in sent.iter().zip(seen.lock().unwrap().iter()) {
        let seen = seen.expect("a handler sees a timeout");
        assert!(seen <= *sent && seen + AT_ONCE > *sent, "of {sent:?} the handler saw {seen:?}");
    }
}

/// **BUS-9**
pub async fn bus_9_time_shrinks_along_a_chain_of_calls(stage: Stage) {
    let callee = stage.callee();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let bus = callee.clone();
    let record = seen.clone();
    let _inner = serve(&callee, "demo.inner", move |request: Envelope| {
        record.lock().unwrap().push(request.timeout);
        echo(request)
    })
    .await;
    let record = seen.clone();
    let _outer = serve(&callee, CELL, move |outer: Envelope| {
        record.lock().unwrap().push(outer.timeout);
        let bus = bus.clone();
        let inner = Envelope { timeout: outer.timeout, ..request("demo.inner", outer.payload) };
        async move { call(&bus, inner).await }
    })
    .await;
    let sent = Duration::from_secs(10);
    let reply = call(&stage.caller, Envelope { timeout: Some(sent), ..request(CELL, "{}") }).await;
    // A reply that is passed on has the distance of the caller's own call.
    let via = reply.expect("the chain answers").via;
    assert_eq!(via, stage.via.unwrap_or(via));
    let seen = seen.lock().unwrap().clone();
    let [Some(outer), Some(inner)] = seen.as_slice() else {
        panic!("two timeouts, and there are {seen:?}")
    };
    assert!(inner <= outer && *outer <= sent, "outer {outer:?}, inner {inner:?}");
}
