//! Spans as trees.

use std::time::Duration;

use cbs::{Side, Span, Uuid};

use super::*;
use crate::telemetry::testing::span;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn of(number: u128, side: Side, parent: Option<[u8; 8]>) -> Span {
    let mut span = span(id(number));
    span.trace.trace_id = [1; 16];
    (span.side, span.parent, span.began_ns) =
        (side, parent, 1_000 + u64::try_from(number).unwrap_or(0));
    if side == Side::Client {
        span.trace.span_id = span.trace.span_id.map(|byte| !byte);
    }
    span
}

/// Returns the depth of each node, and whether each side is known.
fn shape(spans: &[Span]) -> Vec<(usize, bool, bool)> {
    let one = |node: &Node<'_>| match node.call {
        Call::Known { client, server } => (node.depth, client.is_some(), server.is_some()),
        Call::Missing(_) => (node.depth, false, false),
    };
    Tree::of(spans).nodes.iter().map(one).collect()
}

#[test]
fn both_sides_of_a_call_are_one_node_and_what_it_calls_stands_below() {
    let root = of(1, Side::Server, None);
    let client = of(2, Side::Client, Some(root.trace.span_id));
    let server = of(2, Side::Server, Some(client.trace.span_id));
    let below = of(3, Side::Server, Some(server.trace.span_id));
    assert_eq!(
        shape(&[root, client, server, below]),
        [(0, false, true), (1, true, true), (2, false, true)]
    );
}

#[test]
fn an_attempt_that_nobody_answered_and_the_next_are_two() {
    let root = of(1, Side::Server, None);
    let lost = of(2, Side::Client, Some(root.trace.span_id));
    let mut again = of(2, Side::Client, Some(root.trace.span_id));
    again.attempt = 1;
    again.trace.span_id = [7; 8];
    let mut server = of(2, Side::Server, Some([7; 8]));
    server.attempt = 1;
    assert_eq!(
        shape(&[root, lost, again, server]),
        [(0, false, true), (1, true, false), (1, true, true)]
    );
}

#[test]
fn what_is_missing_is_shown_once_above_all_that_it_called() {
    let one = of(1, Side::Server, Some([9; 8]));
    let two = of(2, Side::Server, Some([9; 8]));
    assert_eq!(shape(&[one, two]), [(0, false, false), (1, false, true), (1, false, true)]);
}

#[test]
fn spans_in_a_circle_or_of_themselves_are_shown_and_end() {
    let mut one = of(1, Side::Server, None);
    let two = of(2, Side::Server, Some(one.trace.span_id));
    one.parent = Some(two.trace.span_id);
    let mut own = of(3, Side::Server, None);
    own.parent = Some(own.trace.span_id);
    assert_eq!(shape(&[one, two, own]).len(), 3);
}

#[test]
fn a_chain_as_long_as_a_memory_does_not_end_the_stack() {
    let mut parent = None;
    let spans: Vec<_> = (1..20_000)
        .map(|number| {
            let span = of(number, Side::Server, parent);
            parent = Some(span.trace.span_id);
            span
        })
        .collect();
    assert_eq!(shape(&spans).len(), spans.len());
}

#[test]
fn the_whole_takes_from_the_first_beginning_to_the_last_end() {
    let mut one = of(1, Side::Server, None);
    let two = of(2, Side::Server, None);
    one.elapsed = Duration::from_millis(5);
    let spans = [one, two];
    let tree = Tree::of(&spans);
    assert_eq!((tree.began_ns, tree.took), (1_001, Duration::from_millis(5)));
}
