//! Stories of CBS against a real nats-server and real processes. One binary, so that it links once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code: it fails loudly"
)]

mod alone;
mod credentials;
mod deadlines;
mod deploy;
mod dev;
mod faults;
mod flood;
mod greeting;
mod languages;
mod mistakes;
mod outage;
mod routes;
mod scaffold;
mod sharing;
mod watch;

use e2e::Body;

/// A body that can host the cells of the stories (`src/bin/stories_body.rs`).
fn stories(id: &str) -> Body {
    Body::of(env!("CARGO_BIN_EXE_stories_body"), id)
}
