use super::Gate;

use futures::{FutureExt, poll};

#[tokio::test]
async fn a_closed_gate_lets_nobody_in_and_waits_for_those_inside() {
    let gate = Gate::default();
    assert!(gate.enter());
    gate.close();
    assert!(!gate.enter());
    let mut emptied = gate.emptied().boxed();
    assert!(poll!(&mut emptied).is_pending());
    gate.leave();
    assert!(poll!(&mut emptied).is_ready());
}

#[tokio::test]
async fn a_refused_visitor_that_leaves_last_still_tells() {
    // The two steps of `enter` when the gate is closed: the call is counted for a moment, and its
    // leaving empties the gate.
    let gate = Gate::default();
    assert!(gate.enter() && gate.enter());
    gate.close();
    let mut emptied = gate.emptied().boxed();
    assert!(poll!(&mut emptied).is_pending());
    gate.leave();
    assert!(poll!(&mut emptied).is_pending());
    gate.leave();
    assert!(poll!(&mut emptied).is_ready());
}
