//! Checks `traces.json`: the place of a call in its trace.

use std::sync::Arc;

use cbs::{
    BodyBus, BodyId, BoxFuture, BusError, CellContext, CellEnv, CellError, Console, Envelope,
    EventStream, Service, Serving, Subscription, Trace, Uuid,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    about: String,
    positions: Vec<Position>,
    texts: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    name: String,
    id: Uuid,
    correlation_id: Option<Uuid>,
    #[serde(default)]
    attempt: u32,
    trace: Option<Trace>,
    traceparent: String,
}

/// A bus that sends nothing.
struct Nowhere;

impl BodyBus for Nowhere {
    fn call(&self, _: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(std::future::pending())
    }
    fn publish(&self, _: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(std::future::pending())
    }
    fn serve(&self, _: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        Box::pin(std::future::pending())
    }
    fn subscribe(&self, _: Subscription) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        Box::pin(std::future::pending())
    }
}

impl Console for Nowhere {
    fn print(&self, _: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(std::future::pending())
    }
    fn ask(&self, _: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn every_call_stands_where_the_vectors_say() -> Result<(), Box<dyn std::error::Error>> {
    let vectors: Vectors = testkit::vectors::read("traces.json");
    assert!(!vectors.about.is_empty() && !vectors.texts.is_empty());
    let env = CellEnv::new(
        "demo.cell".parse()?,
        BodyId::new("web1")?,
        Arc::new(Nowhere),
        Arc::new(Nowhere),
    );
    let env = Arc::new(env);
    for Position { name, id, correlation_id, attempt, trace, traceparent } in vectors.positions {
        let request = Envelope::request("demo.cell".parse()?, "");
        let request = Envelope { id, correlation_id, attempt, foreign_trace: trace, ..request };
        let context = CellContext::new(env.clone(), &request);
        assert_eq!(context.trace().to_string(), traceparent, "{name}");
        let onward = context.request("demo.other".parse()?, "").foreign_trace;
        assert_eq!(onward.map(|trace| trace.to_string()), trace.map(|_| traceparent), "{name}");
    }
    Ok(())
}
