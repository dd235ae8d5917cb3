//! Events: CloudEvents that any NATS client reads and writes.

use std::time::Duration;

use bus_nats::Nats;
use cbs::{Delivery, Envelope, EventStream, Subscription};
use futures::StreamExt;
use testkit::{NatsServer, within};

use crate::support::{LONG, body, client, plain, settle};

async fn subscribe(nats: &Nats, filter: &str, group: Option<&str>) -> Box<dyn EventStream> {
    let wanted = Subscription {
        filter: filter.parse().unwrap(),
        group: group.map(|group| group.parse().unwrap()),
    };
    within(LONG, "a subscription", nats.bus().subscribe(wanted)).await.unwrap()
}

async fn publish(nats: &Nats, topic: &str, payload: &str) {
    let event = Envelope::event(topic.parse().unwrap(), payload.to_owned());
    within(LONG, "publishing", nats.bus().publish(event)).await.unwrap();
}

async fn receive(stream: &mut Box<dyn EventStream>) -> Envelope {
    match within(LONG, "an event", stream.next()).await {
        Some(Delivery::Event(event)) => *event,
        other => panic!("expected an event, heard {other:?}"),
    }
}

#[tokio::test]
async fn an_event_goes_out_as_a_cloud_event_that_any_client_reads() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let plain = plain(&server).await;
    let mut received = plain.subscribe("cbs.default.event.>").await.unwrap();
    settle(&plain).await;
    let mut event = Envelope::event("order.created".parse().unwrap(), r#"{"id":7}"#);
    event.source.body = "body-1".into();
    event.source.cell = "cell shop.place".into();
    event.schema = "shop/v1/Order".into();
    event.correlation_id = Some(cbs::Uuid::now_v7());
    event.attributes = vec![("Region".into(), "eu\r\nX-Evil: 1".into())];
    nats.bus().publish(event.clone()).await.unwrap();
    let message = within(LONG, "the message", received.next()).await.unwrap();
    assert_eq!(message.subject.as_str(), "cbs.default.event.order.created");
    assert_eq!(message.payload, r#"{"id":7}"#);
    let headers = message.headers.unwrap();
    let header =
        |name: &str| headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default();
    assert_eq!(header("ce-specversion"), "1.0");
    assert_eq!(header("ce-id"), event.id.to_string());
    assert_eq!(header("ce-type"), "order.created");
    assert_eq!(header("ce-source"), "/cbs/default/body-1");
    assert_eq!(header("ce-dataschema"), "shop/v1/Order");
    assert_eq!(header("ce-correlationid"), event.correlation_id.unwrap().to_string());
    assert_eq!(header("Content-Type"), "application/json");
    assert_eq!(header("traceparent"), event.trace().to_string());
    assert!(header("ce-time").ends_with('Z'), "{}", header("ce-time"));
    assert_eq!(header("ce-xregion"), "eu  X-Evil: 1");
    assert_eq!(header("X-Evil"), "");
}

#[tokio::test]
async fn an_event_is_heard_as_it_was_published() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let mut stream = subscribe(&nats, "order.*", None).await;
    let mut event = Envelope::event("order.created".parse().unwrap(), r#"{"id":7}"#);
    event.source.body = "body-1".into();
    event.source.cell = "cell shop.place".into();
    event.schema = "shop/v1/Order".into();
    event.content_type = "application/x-order".into();
    event.correlation_id = Some(cbs::Uuid::now_v7());
    event.causation_id = Some(cbs::Uuid::now_v7());
    event.attributes =
        vec![("long".into(), "x".repeat(2_000).into()), ("region".into(), "eu".into())];
    nats.bus().publish(event.clone()).await.unwrap();
    let received = receive(&mut stream).await;
    assert_eq!(Envelope { via: event.via, ..received }, event);
}

#[tokio::test]
async fn an_attribute_that_no_header_can_carry_is_refused() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    for key in ["", "größe", "a:b", "a b", "a\r\nb"] {
        let mut event = Envelope::event("order.created".parse().unwrap(), "1");
        event.attributes = vec![(key.into(), "1".into())];
        let error = nats.bus().publish(event).await.unwrap_err();
        assert_eq!(error.code(), &cbs::Code::BadRequest, "{key:?}");
    }
}

#[tokio::test]
async fn what_a_plain_client_publishes_is_heard_with_headers_and_without() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let mut stream = subscribe(&nats, "order.>", None).await;
    let plain = plain(&server).await;
    plain.publish("cbs.default.event.order.created", r#"{"id":7}"#.into()).await.unwrap();
    let event = receive(&mut stream).await;
    assert_eq!(event.target, Some("topic order.created".parse().unwrap()));
    assert_eq!(event.payload, r#"{"id":7}"#);
    assert!(!event.id.is_nil());
    let mut headers = async_nats::HeaderMap::new();
    for (name, value) in
        [("ce-id", "7"), ("ce-source", "/shop"), ("ce-type", "x"), ("traceparent", "garbage")]
    {
        headers.insert(name, value);
    }
    plain
        .publish_with_headers("cbs.default.event.order.created.eu", headers, "\u{cb}".into())
        .await
        .unwrap();
    let event = receive(&mut stream).await;
    assert_eq!(event.attribute("ce-id"), Some("7"));
    assert_eq!(event.attribute("ce-source"), Some("/shop"));
    assert_eq!(event.foreign_trace, None);
    // A frame is an event too; the subject says the topic, whatever the frame says.
    let frame = cbs::frame::encode(&Envelope::request("a.b".parse().unwrap(), "framed"));
    plain.publish("cbs.default.event.order.paid", frame).await.unwrap();
    let event = receive(&mut stream).await;
    assert_eq!((event.payload.as_ref(), event.kind), (&b"framed"[..], cbs::Kind::Event));
    assert_eq!(event.target, Some("topic order.paid".parse().unwrap()));
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_told_as_missed_at_once() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let mut stream = subscribe(&nats, "order.>", None).await;
    let plain = plain(&server).await;
    for (subject, payload) in [("order.created", &b"\xCB\x09"[..]), ("order.NoTopic", b"{}")] {
        plain.publish(format!("cbs.default.event.{subject}"), payload.into()).await.unwrap();
        assert_eq!(
            within(LONG, "the word", stream.next()).await,
            Some(Delivery::Missed(1)),
            "{subject}"
        );
    }
    plain.publish("cbs.default.event.order.created", "fine".into()).await.unwrap();
    assert_eq!(receive(&mut stream).await.payload, "fine");
}

#[tokio::test]
async fn a_group_hears_each_event_once_and_those_without_one_hear_all() {
    let server = NatsServer::start().await;
    let one = body(&server, "body-1").await;
    let two = body(&server, "body-2").await;
    let mut taps = [
        subscribe(&one, "order.created", None).await,
        subscribe(&two, "order.created", None).await,
    ];
    let mut shared = [
        subscribe(&one, "order.created", Some("bill.send")).await,
        subscribe(&two, "order.created", Some("bill.send")).await,
    ];
    let mut other = subscribe(&two, "order.*", Some("stock.reserve")).await;
    for number in 0..100 {
        publish(&one, "order.created", &number.to_string()).await;
    }
    publish(&one, "order.created", "last").await;
    let mut in_order = Vec::new();
    for stream in [&mut other].into_iter().chain(&mut taps) {
        in_order.clear();
        while in_order.last().is_none_or(|last| last != "last") {
            in_order.push(receive(stream).await.payload);
        }
        assert_eq!(in_order.len(), 101);
    }
    let [first, second] = &mut shared;
    let mut received = std::collections::BTreeMap::new();
    for _ in 0..101 {
        let event = within(LONG, "an event of the group", async {
            tokio::select! { event = first.next() => (1, event), event = second.next() => (2, event) }
        })
        .await;
        let (member, Some(Delivery::Event(event))) = event else { panic!("{event:?}") };
        assert_eq!(
            received.insert(event.payload.clone(), member),
            None,
            "{:?} came twice",
            event.payload
        );
    }
    assert!(
        received.values().any(|member| *member == 1)
            && received.values().any(|member| *member == 2)
    );
}

#[tokio::test]
async fn whoever_is_too_slow_is_told_how_many_events_it_missed() {
    const SENT: u64 = 5_000;
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let mut slow = subscribe(&nats, "flood.tick", None).await;
    let mut quick = subscribe(&nats, "flood.end", None).await;
    let plain = plain(&server).await;
    for number in 0..SENT {
        plain.publish("cbs.default.event.flood.tick", number.to_string().into()).await.unwrap();
    }
    plain.publish("cbs.default.event.flood.end", "".into()).await.unwrap();
    receive(&mut quick).await;
    let mut received = 0;
    let mut missed = 0;
    let mut words = 0;
    while received + missed < SENT {
        match within(LONG, "an event or the number of those missed", slow.next()).await {
            Some(Delivery::Event(_)) => received += 1,
            Some(Delivery::Missed(more)) => (missed, words) = (missed + more, words + 1),
            None => panic!("the stream has ended"),
        }
    }
    assert!(missed > 0 && received >= 1_000, "{received} heard, {missed} missed in {words} words");
    assert_eq!(received + missed, SENT);
    assert_eq!(nats.counters().slow_consumers, 0);
}

#[tokio::test]
async fn a_backlog_is_bounded_in_bytes_too() {
    const SENT: u64 = 200;
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let mut slow = subscribe(&nats, "flood.tick", None).await;
    let mut quick = subscribe(&nats, "flood.end", None).await;
    let plain = plain(&server).await;
    let payload = cbs::Bytes::from(vec![0; 1_000_000]);
    for _ in 0..SENT {
        plain.publish("cbs.default.event.flood.tick", payload.clone()).await.unwrap();
    }
    plain.publish("cbs.default.event.flood.end", "".into()).await.unwrap();
    receive(&mut quick).await;
    let mut received = 0;
    let mut missed = 0;
    while received + missed < SENT {
        match within(LONG, "an event or the number of those missed", slow.next()).await {
            Some(Delivery::Event(_)) => received += 1,
            Some(Delivery::Missed(more)) => missed += more,
            None => panic!("the stream has ended"),
        }
    }
    assert!(missed > 0 && received >= 60, "{received} heard, {missed} missed");
}

#[tokio::test]
async fn dropping_a_stream_ends_its_subscription_and_closing_ends_all() {
    let server = NatsServer::start().await;
    let nats = body(&server, "body-1").await;
    let dropped = subscribe(&nats, "a.b", Some("x.y")).await;
    let mut kept = subscribe(&nats, "a.b", Some("x.y")).await;
    drop(dropped);
    let client = client(&server).await;
    // The first event may have gone to the dropped subscription, whose end is sent on its own.
    testkit::eventually("the one that is left hears", LONG, async || {
        publish(&client, "a.b", "1").await;
        tokio::time::timeout(Duration::from_millis(100), kept.next()).await.is_ok()
    })
    .await;
    within(LONG, "closing", nats.close()).await;
    within(LONG, "the end", async { while kept.next().await.is_some() {} }).await;
}
