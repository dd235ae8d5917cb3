//! BUS-7, BUS-11: events and their subscribers.

use std::collections::{BTreeMap, BTreeSet};

use cbs::{Delivery, Envelope, EventStream, Kind, Source, Trace, Uuid};

use super::{
    Stage,
    exchange::payloads,
    parts::{STEP, event, publish, receive, subscribe},
};
use crate::{eventually, within};

/// Number of events that a case publishes.
const EVENTS: usize = 100;
/// Payload of the last event. A case then checks the events that came.
const LAST: &str = "last";

/// Receives events until the last one. Returns how often each came.
async fn hear_all(stream: &mut Box<dyn EventStream>) -> BTreeMap<Uuid, usize> {
    let mut received = BTreeMap::new();
    loop {
        let event = receive(stream).await;
        if event.payload == LAST {
            return received;
        }
        *received.entry(event.id).or_default() += 1;
    }
}

/// **BUS-7**
pub async fn bus_7_an_event_reaches_every_subscription_and_one_of_each_group(stage: Stage) {
    let [first, second] = stage.pair();
    let mut whole = [
        subscribe(&first, "order.created", None).await,
        subscribe(&second, "order.*", None).await,
        subscribe(&stage.caller, ">", None).await,
        subscribe(&first, "order.created", Some("shop.alone")).await,
    ];
    let mut other = subscribe(&first, "order.created.*", None).await;
    let mut shared = [
        subscribe(&first, "order.>", Some("shop.stock")).await,
        subscribe(&second, "order.>", Some("shop.stock")).await,
    ];
    let mut expected = BTreeMap::new();
    for number in 0..EVENTS {
        let event = event("order.created", number.to_string());
        expected.insert(event.id, 1);
        publish(&stage.caller, event).await.expect("the bus is up");
    }
    publish(&stage.caller, event("order.created", LAST)).await.expect("the bus is up");
    for stream in &mut whole {
        assert_eq!(hear_all(stream).await, expected, "how often a subscription heard each event");
    }
    let [one, two] = &mut shared;
    let mut together = BTreeSet::new();
    for _ in 0..=EVENTS {
        let next = async {
            tokio::select! {
                event = receive(one) => event,
                event = receive(two) => event,
            }
        };
        let event = within(STEP, "an event of the group", next).await;
        assert!(together.insert(event.id), "the group heard an event twice");
    }
    // A subscriber to another topic has received nothing before that.
    publish(&stage.caller, event("order.created.eu", LAST)).await.expect("the bus is up");
    assert!(hear_all(&mut other).await.is_empty());
}

/// **BUS-7**
pub async fn bus_7_an_event_arrives_as_it_was_published(stage: Stage) {
    let mut stream = subscribe(&stage.callee(), "order.created", None).await;
    for (name, payload) in payloads() {
        let sent = Envelope {
            correlation_id: Some(Uuid::now_v7()),
            causation_id: Some(Uuid::now_v7()),
            source: Source {
                body: "web1-7f3a91".into(),
                cell: "cell shop.cart".into(),
                revision: "a1b2".into(),
            },
            schema: "demo/v1/Order".into(),
            content_type: "application/octet-stream".into(),
            foreign_trace: Some(Trace { trace_id: [7; 16], span_id: [9; 8], flags: 1 }),
            attributes: vec![("tenant".into(), "Zoë & Søn = 100 %".into())],
            ..event("order.created", payload)
        };
        publish(&stage.caller, sent.clone()).await.expect("the bus is up");
        let got = receive(&mut stream).await;
        assert_eq!((got.kind, got.id, &got.target), (Kind::Event, sent.id, &sent.target), "{name}");
        assert_eq!(got.payload, sent.payload, "{name}");
        assert_eq!(
            (&got.schema, got.content_type()),
            (&sent.schema, sent.content_type()),
            "{name}"
        );
        assert_eq!(
            (got.correlation_id, got.causation_id),
            (sent.correlation_id, sent.causation_id),
            "{name}"
        );
        assert_eq!(
            (&got.source.body, &got.source.cell),
            (&sent.source.body, &sent.source.cell),
            "{name}"
        );
        assert_eq!(got.attributes, sent.attributes, "{name}");
        assert_eq!(got.trace(), sent.trace(), "{name}");
    }
}

/// **BUS-7**
pub async fn bus_7_an_event_that_nobody_hears_is_no_error(stage: Stage) {
    assert_eq!(publish(&stage.caller, event("order.created", "{}")).await, Ok(()));
}

/// **BUS-7**
pub async fn bus_7_a_dropped_subscription_hears_no_more(stage: Stage) {
    let callee = stage.callee();
    let leaves = subscribe(&callee, "order.created", Some("shop.stock")).await;
    drop(leaves);
    let mut stays = subscribe(&callee, "order.created", Some("shop.stock")).await;
    // The bus may see the end a moment later. From then on the subscription that stays receives all
    // events.
    let mut in_a_row = 0;
    eventually("one member is left in the group", STEP, async || {
        publish(&stage.caller, event("order.created", "{}")).await.expect("the bus is up");
        let received =
            tokio::time::timeout(std::time::Duration::from_millis(300), stays.next()).await;
        in_a_row = if matches!(received, Ok(Some(Delivery::Event(_)))) { in_a_row + 1 } else { 0 };
        in_a_row == 20
    })
    .await;
}

/// **BUS-11**
pub async fn bus_11_a_subscription_that_does_not_read_is_told_what_it_missed(stage: Stage) {
    let callee = stage.callee();
    let mut slow = subscribe(&callee, "order.created", None).await;
    let mut quick = subscribe(&callee, "order.created", None).await;
    let published = stage.event_queue as u64 * 2 + 100;
    for _ in 0..published {
        publish(&stage.caller, event("order.created", "{}")).await.expect("the bus is up");
        // Received one by one, so that this subscriber never falls behind, and all have come when
        // the loop ends.
        receive(&mut quick).await;
    }
    let mut received = 0;
    let mut missed = 0;
    while received + missed < published {
        match within(STEP, "the next of a slow subscription", slow.next()).await {
            Some(Delivery::Event(_)) => received += 1,
            Some(Delivery::Missed(count)) => missed += count,
            None => {
                panic!("the subscription ended after {received} events and {missed} missed ones")
            }
        }
    }
    assert_eq!(received + missed, published);
    assert!(received > 0 && missed > 0, "heard {received}, missed {missed}");
}
