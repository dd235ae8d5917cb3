//! The in-process bus keeps the promises of the contract, alone and behind the router.

use bus::{InProcess, Router, Settings};
use testkit::conformance::{self, Stage};

async fn in_process() -> Stage {
    let settings = Settings::default();
    let (payload_max, event_queue) = (settings.payload_max, settings.event_queue);
    let bus = InProcess::new(settings);
    let closed = bus.clone();
    let close = move || {
        let bus = closed.clone();
        async move { bus.close() }
    };
    Stage::new(bus.clone(), bus)
        .distance(cbs::Distance::Body)
        .payload_max(payload_max)
        .event_queue(event_queue)
        .outage(close, async || panic!("a closed bus stays closed"))
}

async fn routed() -> Stage {
    let router = std::sync::Arc::new(Router::new(InProcess::new(Settings::default()), None));
    Stage::new(router.clone(), router).distance(cbs::Distance::Body)
}

mod alone {
    testkit::conformance_tests!(super::in_process);
}

mod behind_the_router {
    testkit::conformance_tests!(super::routed);
}

#[tokio::test]
async fn bus_10_calls_and_events_fail_at_once_when_the_bus_is_closed() {
    conformance::bus_10_calls_and_events_fail_at_once_while_the_bus_is_down(in_process().await).await;
}
