//! One list of cases at every distance: the same body, another body, a client without a body.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use std::sync::Arc;

use bus::{InProcess, Link, Router};
use bus_nats::{Nats, Options};
use cbs::{BodyBus, Transport};
use model::Route;
use testkit::{
    NatsServer,
    conformance::{self, Stage},
};

/// A body: its own cells first, the network for all others.
async fn body(server: &NatsServer, id: &str, route: Route) -> Arc<dyn BodyBus> {
    let nats = Nats::connect(Options::new(server.url(), id.parse().unwrap())).await.unwrap();
    let link = Link { bus: nats.bus(), other_bodies: nats.other_bodies() };
    let router = Router::new(InProcess::new(bus::Settings::default()), Some(link));
    router.set_route(route);
    Arc::new(router)
}

async fn same_body() -> Stage {
    let server = NatsServer::start().await;
    let one = body(&server, "one", Route::LocalFirst).await;
    let two = body(&server, "two", Route::LocalFirst).await;
    Stage::new(one.clone(), one).server(two).keep(server)
}

async fn same_body_over_nats() -> Stage {
    let server = NatsServer::start().await;
    let one = body(&server, "one", Route::Nats).await;
    let two = body(&server, "two", Route::LocalFirst).await;
    Stage::new(one.clone(), one).server(two).via(Transport::Nats).nats(server)
}

async fn another_body() -> Stage {
    let server = NatsServer::start().await;
    let caller = body(&server, "caller", Route::LocalFirst).await;
    let one = body(&server, "one", Route::LocalFirst).await;
    let two = body(&server, "two", Route::LocalFirst).await;
    Stage::new(caller, one).server(two).via(Transport::Nats).nats(server)
}

async fn a_client() -> Stage {
    let server = NatsServer::start().await;
    let client =
        Nats::connect_client(Options::new(server.url(), "client".parse().unwrap())).await.unwrap();
    let one = Nats::connect(Options::new(server.url(), "one".parse().unwrap())).await.unwrap();
    let two = Nats::connect(Options::new(server.url(), "two".parse().unwrap())).await.unwrap();
    Stage::new(client.bus(), one.bus()).server(two.bus()).via(Transport::Nats).nats(server)
}

mod in_the_same_body {
    testkit::conformance_tests!(super::same_body);
}

mod in_the_same_body_over_nats {
    testkit::conformance_tests!(super::same_body_over_nats, outage);
}

mod from_another_body {
    testkit::conformance_tests!(super::another_body, outage);
}

mod from_a_client {
    testkit::conformance_tests!(super::a_client, outage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_the_same_at_all_distances() {
    conformance::compare(&[
        ("the same body", same_body().await),
        ("the same body over NATS", same_body_over_nats().await),
        ("another body", another_body().await),
        ("a client", a_client().await),
    ])
    .await;
}

/// 200 stops under load lose no call. This holds by a quirk of async-nats (ARCHITECTURE.md,
/// stopping without loss).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bus_6_200_stops_under_load_lose_no_call() {
    conformance::bus_6_stop_under_load_loses_no_call(a_client().await.stops(200)).await;
    conformance::bus_6_stopping_one_of_two_costs_no_call(a_client().await.stops(200)).await;
}
