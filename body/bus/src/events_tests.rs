use cbs::{Delivery, Envelope, EventStream, Subscription, Topic};
use futures::FutureExt;

use super::{Events, Stream};

fn topic() -> Topic {
    "order.created".parse().unwrap()
}

fn publish(events: &Events, payload: &'static str) {
    events.publish(&topic(), &Envelope::event(topic(), payload));
}

fn subscribe(events: &Events, filter: &str, group: Option<&str>) -> Stream {
    let group = group.map(|group| group.parse().unwrap());
    events.subscribe(Subscription { filter: filter.parse().unwrap(), group })
}

/// Returns all that waits in the stream now: payloads, and the counts of missed events between
/// them.
fn received(stream: &mut Stream) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(next) = stream.next().now_or_never() {
        match next {
            Some(Delivery::Event(event)) => {
                all.push(String::from_utf8_lossy(&event.payload).into_owned());
            }
            Some(Delivery::Missed(count)) => all.push(format!("missed {count}")),
            None => {
                all.push("end".to_owned());
                break;
            }
        }
    }
    all
}

#[test]
fn what_is_missed_stands_where_it_was_missed() {
    let events = Events::new(2, 1_000);
    let mut stream = subscribe(&events, "order.*", None);
    ["a", "b", "c", "d"].iter().for_each(|payload| publish(&events, payload));
    assert_eq!(received(&mut stream), ["a", "b", "missed 2"]);
    publish(&events, "e");
    assert_eq!(received(&mut stream), ["e"]);
}

#[test]
fn a_queue_is_bounded_in_bytes_too() {
    let events = Events::new(100, 5);
    let mut stream = subscribe(&events, "order.*", None);
    ["four", "x", "y"].iter().for_each(|payload| publish(&events, payload));
    assert_eq!(received(&mut stream), ["four", "x", "missed 1"]);
}

#[test]
fn a_group_misses_only_what_none_of_it_has_room_for() {
    let events = Events::new(2, 1_000);
    let mut group = [
        subscribe(&events, "order.*", Some("shop.mail")),
        subscribe(&events, ">", Some("shop.mail")),
    ];
    ["a", "b", "c", "d", "e"].iter().for_each(|payload| publish(&events, payload));
    let mut all: Vec<_> = group.iter_mut().flat_map(received).collect();
    all.sort();
    assert_eq!(all, ["a", "b", "c", "d", "missed 1"]);
}

#[test]
fn a_closed_bus_ends_its_streams_after_what_waits() {
    let events = Events::new(2, 1_000);
    let mut before = subscribe(&events, "order.*", None);
    publish(&events, "a");
    events.close();
    publish(&events, "b");
    assert_eq!(received(&mut before), ["a", "end"]);
    assert_eq!(received(&mut subscribe(&events, "order.*", None)), ["end"]);
}

#[test]
fn a_dropped_stream_is_forgotten() {
    let events = Events::new(2, 1_000);
    drop(subscribe(&events, "order.*", None));
    assert!(events.listeners.load().is_empty());
}
