//! The promises of [`cbs::BodyBus`] as cases. Every bus passes them, at every distance.
//!
//! A case takes a [`Stage`]: the buses of a caller and of those that serve, at any distance. A test
//! file defines how a stage is built, and [`conformance_tests!`](crate::conformance_tests) makes
//! one test of each case:
//!
//! ```no_run
//! # use std::sync::Arc;
//! use testkit::conformance::Stage;
//!
//! # mod my { pub fn bus() -> std::sync::Arc<dyn cbs::BodyBus> { testkit::peer().0 } }
//! async fn one_body() -> Stage {
//!     let bus: Arc<dyn cbs::BodyBus> = my::bus();
//!     Stage::new(bus.clone(), bus).payload_max(1024 * 1024)
//! }
//!
//! # mod tests { use super::*;
//! testkit::conformance_tests!(one_body);
//! # }
//! # fn main() {}
//! ```
//!
//! [`compare`] runs one list of calls on several stages and asserts that callers and handlers see
//! no difference.
//!
//! Names of cases begin with the number of their promise: `bus_6_…` checks **BUS-6**.

mod calls;
mod compare;
mod errors;
mod events;
mod exchange;
mod limits;
mod outage;
mod parts;
mod serving;
mod stage;

pub use self::{
    calls::*, compare::compare, errors::*, events::*, limits::*, outage::*, serving::*,
    stage::Stage,
};

/// Makes a test of every case: `conformance_tests!(make_stage)`, where `make_stage` is an
/// `async fn() -> Stage`. With `, outage` after it, also makes the cases of a bus that goes
/// down and comes back: for stages that have [`Stage::outage`] or [`Stage::nats`], and whose calls
/// need the network.
#[macro_export]
macro_rules! conformance_tests {
    ($make_stage:path) => {
        $crate::conformance_tests! { @cases $make_stage:
            bus_1_a_call_without_an_answer_ends_at_its_timeout
            bus_1_a_call_that_says_no_timeout_has_the_default
            bus_1_a_call_without_any_time_left_ends_at_once
            bus_1_hanging_calls_do_not_hold_up_others
            bus_2_a_reply_carries_its_requests_ids_and_what_the_handler_gave_it
            bus_2_a_handler_sees_the_request_as_it_was_sent
            bus_2_many_calls_at_once_get_their_own_replies
            bus_3_a_call_that_nobody_serves_fails_at_once
            bus_3_a_call_of_what_is_served_no_more_fails_at_once
            bus_4_exactly_one_of_several_is_handed_a_call
            bus_5_a_handlers_error_reaches_the_caller_unchanged
            bus_5_an_error_envelope_is_an_error
            bus_6_stop_answers_what_it_has
            bus_6_stop_under_load_loses_no_call
            bus_6_stopping_one_of_two_costs_no_call
            bus_6_a_target_can_be_served_again
            bus_7_an_event_reaches_every_subscription_and_one_of_each_group
            bus_7_an_event_arrives_as_it_was_published
            bus_7_an_event_that_nobody_hears_is_no_error
            bus_7_a_dropped_subscription_hears_no_more
            bus_8_what_is_too_large_is_not_sent
            bus_8_a_reply_that_is_too_large_is_an_error
            bus_8_attributes_that_do_not_fit_are_refused
            bus_9_a_handler_sees_what_remains_of_the_callers_time
            bus_9_time_shrinks_along_a_chain_of_calls
            bus_11_a_subscription_that_does_not_read_is_told_what_it_missed
            bus_11_a_full_queue_refuses_calls
        }
    };
    ($make_stage:path, outage) => {
        $crate::conformance_tests!($make_stage);
        $crate::conformance_tests! { @cases $make_stage:
            bus_10_calls_and_events_fail_at_once_while_the_bus_is_down
            bus_10_what_was_served_and_heard_resumes_by_itself
        }
    };
    (@cases $make_stage:path: $($case:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::$case($make_stage().await).await;
            }
        )*
    };
}
