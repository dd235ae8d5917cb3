//! The conformance suite is useless if a broken bus passes: each bus here breaks one promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bus::{InProcess, Settings};
use cbs::{
    BodyBus, BoxFuture, BusError, CellError, Code, Envelope, EventStream, Outcome, Service,
    Serving, Subscription, Uuid,
};
use futures::FutureExt;
use testkit::conformance::{self as suite, Stage};

/// Kind of a bus's fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    ForgetsTimeouts,
    ChangesIds,
    LosesAttributes,
    SaysThatItRan,
    ChangesCodes,
    StopsWithoutWaiting,
    LosesEvents,
    DoublesEvents,
    GivesMoreTime,
    HidesLosses,
    /// Reports a limit, but has none.
    TakesAnySize,
    /// Reports that it goes down, but stays up.
    StaysUp,
}

struct Broken(Arc<InProcess>, Fault);

impl Broken {
    fn spoil(&self, answer: Result<Envelope, BusError>) -> Result<Envelope, BusError> {
        match (self.1, answer) {
            (Fault::ChangesIds, Ok(reply)) => Ok(Envelope { id: Uuid::now_v7(), ..reply }),
            (Fault::LosesAttributes, Ok(reply)) => Ok(Envelope { attributes: Vec::new(), ..reply }),
            (Fault::SaysThatItRan, Err(error)) => {
                Err(BusError::new(error.into_error(), Outcome::Ran))
            }
            (Fault::ChangesCodes, Err(error)) => {
                let outcome = error.outcome();
                Err(BusError::new(
                    CellError { code: Code::Internal, ..error.into_error() },
                    outcome,
                ))
            }
            (_, answer) => answer,
        }
    }
}

impl BodyBus for Broken {
    fn call(&self, mut request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        request.timeout = match self.1 {
            Fault::ForgetsTimeouts => Some(Duration::from_secs(86_400)),
            Fault::GivesMoreTime => request.timeout.map(|timeout| timeout * 2),
            _ => request.timeout,
        };
        Box::pin(async move { self.spoil(self.0.call(request).await) })
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            match self.1 {
                Fault::LosesEvents if event.payload == "7" => Ok(()),
                Fault::DoublesEvents => {
                    self.0.publish(event.clone()).await.and(self.0.publish(event).await)
                }
                _ => self.0.publish(event).await,
            }
        })
    }

    fn serve(&self, service: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        Box::pin(async move {
            let serving = self.0.serve(service).await?;
            Ok(if self.1 == Fault::StopsWithoutWaiting {
                Box::new(Hasty(serving))
            } else {
                serving
            })
        })
    }

    fn subscribe(
        &self,
        wanted: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        self.0.subscribe(wanted)
    }
}

/// Serving that does not wait for running calls when it stops.
struct Hasty(Box<dyn Serving>);

impl Serving for Hasty {
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        drop(self.0);
        Box::pin(std::future::ready(()))
    }
}

fn stage(fault: Fault) -> Stage {
    // An event that comes twice must not be dropped.
    let event_queue =
        if matches!(fault, Fault::HidesLosses | Fault::DoublesEvents) { 100_000 } else { 100 };
    let bus =
        Arc::new(Broken(InProcess::new(Settings { event_queue, ..Settings::default() }), fault));
    Stage::new(bus.clone(), bus).event_queue(100)
}

/// Runs the case and asserts that it fails because of the bus's fault, with these words in the
/// message.
async fn bites<F: Future<Output = ()>>(fault: Fault, words: &str, case: impl FnOnce(Stage) -> F) {
    let played = AssertUnwindSafe(case(stage(fault))).catch_unwind().await;
    let Err(panic) = played else { panic!("a bus that {fault:?} passed the case") };
    let constant = panic.downcast_ref::<&str>().map(ToString::to_string);
    let said = constant.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    assert!(
        said.contains(words),
        "a bus that {fault:?} failed for another reason than `{words}`: {said}"
    );
}

// Time is paused, so that waiting for a deadline does not slow the test.
#[tokio::test(start_paused = true)]
async fn every_broken_promise_about_calls_is_noticed() {
    let unanswered = suite::bus_1_a_call_without_an_answer_ends_at_its_timeout;
    bites(Fault::ForgetsTimeouts, "a call: not within", unanswered).await;
    let replies = suite::bus_2_a_reply_carries_its_requests_ids_and_what_the_handler_gave_it;
    bites(Fault::ChangesIds, ": the ids", replies).await;
    bites(Fault::LosesAttributes, ": the attributes", replies).await;
    bites(
        Fault::SaysThatItRan,
        "left: Ran\n right: NotRun",
        suite::bus_3_a_call_that_nobody_serves_fails_at_once,
    )
    .await;
    let errors = suite::bus_5_a_handlers_error_reaches_the_caller_unchanged;
    bites(Fault::ChangesCodes, "left: Err(BusError { error: CellError { code: Internal", errors)
        .await;
    let time = suite::bus_9_a_handler_sees_what_remains_of_the_callers_time;
    bites(Fault::GivesMoreTime, "the handler saw", time).await;
}

// A paused clock does not advance while a load keeps the runtime busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_broken_promise_about_stopping_is_noticed() {
    let waits = suite::bus_6_stop_answers_what_it_has;
    bites(Fault::StopsWithoutWaiting, "stop returned while calls run", waits).await;
    let under_load = |stage: Stage| suite::bus_6_stop_under_load_loses_no_call(stage.stops(50));
    bites(Fault::StopsWithoutWaiting, " after the stop", under_load).await;
}

#[tokio::test(start_paused = true)]
async fn every_broken_promise_about_events_is_noticed() {
    let events = suite::bus_7_an_event_reaches_every_subscription_and_one_of_each_group;
    for fault in [Fault::LosesEvents, Fault::DoublesEvents] {
        bites(fault, "how often a subscription heard each event", events).await;
    }
    let slow = suite::bus_11_a_subscription_that_does_not_read_is_told_what_it_missed;
    bites(Fault::HidesLosses, ", missed 0", slow).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_does_not_hold_is_noticed() {
    let request =
        |stage: Stage| suite::bus_8_what_is_too_large_is_not_sent(stage.payload_max(100_000));
    bites(Fault::TakesAnySize, "expected too-large, and there came a reply", request).await;
    let reply = |stage: Stage| {
        suite::bus_8_a_reply_that_is_too_large_is_an_error(stage.payload_max(100_000))
    };
    bites(Fault::TakesAnySize, "expected too-large, and there came a reply", reply).await;
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_does_not_go_down_is_noticed() {
    let down = |stage: Stage| {
        suite::bus_10_calls_and_events_fail_at_once_while_the_bus_is_down(
            stage.outage(async || {}, async || {}),
        )
    };
    bites(Fault::StaysUp, "the bus is down, and a call was answered", down).await;
}
