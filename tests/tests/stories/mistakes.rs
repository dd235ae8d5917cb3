//! Specs with mistakes.

use e2e::Fleet;

use crate::stories;

#[tokio::test]
async fn broken_specs_are_told_with_every_mistake_and_nothing_is_started() {
    let (fleet, monitor) = Fleet::monitored().await;
    let connections = monitor.number("total_connections").await;
    let body = stories("one").cell("story.tells", "").cell("story.slow", "tiemout: 1s, concurrency: many").flow(
        "order",
        "steps: [ { id: one, call: story.nothing }, { id: two, call: story.tells, with: '${ .steps.tree }' } ]",
    );
    let done = fleet.world.finish(fleet.command(&body)).await.with_status(1);
    for place in [
        "story.slow.yaml:4:24: ",
        "story.slow.yaml:4:50: ",
        "order.yaml:4:35: ",
        "order.yaml:4:88: ",
        "4 mistakes in 2 files; nothing was started",
    ] {
        assert!(done.stderr.contains(place), "{place} is not in:\n{}", done.stderr);
    }
    assert!(done.stdout.is_empty(), "{done:?}");
    // It never connected.
    assert_eq!(monitor.number("total_connections").await, connections);
    assert!(!fleet.world.here().join(".cbs").exists());
}
