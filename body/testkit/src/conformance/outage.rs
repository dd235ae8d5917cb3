//! BUS-10: the bus goes down and comes back.

use std::{sync::Arc, time::Duration};

use cbs::{BodyBus, Code, Delivery, Envelope, Outcome};

use super::{
    Stage,
    parts::{
        AT_ONCE, CELL, STEP, assert_fails, assert_nobody, call, echo, event, publish, request,
        serve, subscribe, timed_call,
    },
};
use crate::{eventually, within};

impl Stage {
    async fn go_down(&mut self) {
        let (down, _) = self
            .outage
            .as_mut()
            .expect("this stage says no way to go down: Stage::outage or Stage::nats");
        within(STEP, "the way down", down()).await;
        let caller = self.caller.clone();
        eventually("the bus notices that it is down", STEP, async || {
            let answer = call(&caller, short()).await;
            assert!(answer.is_err(), "the bus is down, and a call was answered: {answer:?}");
            matches!(answer, Err(error) if error.code() == &Code::Unavailable)
        })
        .await;
    }

    async fn come_back(&mut self) {
        let (_, up) = self.outage.as_mut().expect("it went down");
        within(STEP, "the way up", up()).await;
    }
}

/// Returns a request whose timeout is shorter than an outage.
fn short() -> Envelope {
    Envelope { timeout: Some(Duration::from_millis(500)), ..request(CELL, "{}") }
}

async fn is_served(caller: &Arc<dyn BodyBus>) -> bool {
    call(caller, short()).await.is_ok()
}

/// **BUS-10**
pub async fn bus_10_calls_and_events_fail_at_once_while_the_bus_is_down(mut stage: Stage) {
    let _serving = serve(&stage.callee(), CELL, echo).await;
    call(&stage.caller, request(CELL, "{}")).await.expect("it is served");
    stage.go_down().await;
    for _ in 0..20 {
        let (answer, took) = timed_call(&stage.caller, request(CELL, "{}")).await;
        assert_fails(&answer, &Code::Unavailable, Outcome::NotRun);
        assert!(took < AT_ONCE, "the call took {took:?}");
        let published =
            within(AT_ONCE, "publishing", publish(&stage.caller, event("order.created", "{}")))
                .await;
        assert_eq!(published.map_err(|error| error.code().clone()), Err(Code::Unavailable));
    }
}

/// **BUS-10**
pub async fn bus_10_what_was_served_and_heard_resumes_by_itself(mut stage: Stage) {
    let serving = serve(&stage.callee(), CELL, echo).await;
    let mut stream = subscribe(&stage.callee(), "order.created", None).await;
    for _ in 0..2 {
        stage.go_down().await;
        stage.come_back().await;
        eventually("calls are answered again", STEP, async || is_served(&stage.caller).await).await;
        eventually("events are heard again", STEP, async || {
            let published = publish(&stage.caller, event("order.created", "{}")).await;
            let received = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
            published.is_ok() && matches!(received, Ok(Some(Delivery::Event(_))))
        })
        .await;
    }
    // After an outage, serving ends as usual.
    within(STEP, "the stop", serving.stop()).await;
    let answer = call(&stage.caller, request(CELL, "{}")).await;
    assert_nobody(&answer);
}
