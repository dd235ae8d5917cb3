//! The promises of `BodyBus`, checked for the buses that need no network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use std::sync::Arc;

use bus::{InProcess, RetryingBus, Router, Settings};
use cbs::{BodyBus, Transport};
use model::{CallPolicy, RetryPolicy};
use testkit::conformance::{Stage, compare};

fn staged(bus: Arc<dyn BodyBus>) -> Stage {
    let settings = Settings::default();
    Stage::new(bus.clone(), bus)
        .via(Transport::InProcess)
        .payload_max(settings.payload_max)
        .event_queue(settings.event_queue)
}

async fn in_process() -> Stage {
    staged(InProcess::new(Settings::default()))
}

async fn router() -> Stage {
    staged(Arc::new(Router::new(InProcess::new(Settings::default()), None)))
}

/// Returns a stage with a retrying bus that has nothing to do: it must change nothing.
async fn retry() -> Stage {
    let retry = RetryingBus::new(Arc::new(Router::new(InProcess::new(Settings::default()), None)));
    let second = std::time::Duration::from_secs(1);
    let retry_policy = RetryPolicy { max: 0, backoff: second, backoff_max: second };
    let policy = CallPolicy { retry: Some(retry_policy), ..CallPolicy::default() };
    let cells = ["demo.echo", "demo.cell", "demo.full", "demo.hangs", "demo.inner"];
    retry.set_all(cells.map(|name| (name.parse().unwrap(), &policy)));
    staged(Arc::new(retry))
}

mod in_process_bus {
    testkit::conformance_tests!(super::in_process);
}

mod router_without_nats {
    testkit::conformance_tests!(super::router);
}

mod behind_retries {
    testkit::conformance_tests!(super::retry);
}

#[tokio::test]
async fn no_caller_can_tell_them_apart() {
    compare(&[
        ("in process", in_process().await),
        ("router", router().await),
        ("behind retries", retry().await),
    ])
    .await;
}
