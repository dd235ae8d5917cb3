//! Stories of CBS with a real nats-server and real processes. All are one binary, so that it links
//! once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code: it fails loudly"
)]

mod body_crash;
mod buckets;
mod canary;
mod cluster;
mod credentials;
mod deadlines;
mod deploy;
mod dev;
mod faults;
mod files;
mod flood;
mod forgery;
mod greeting;
mod languages;
mod listeners;
mod lossy_link;
mod mistakes;
mod nats_outage_mid_deploy;
mod no_jetstream;
mod observability;
mod outage;
mod permissions;
mod reconnect_storm;
mod routes;
mod scaffold;
mod scale;
mod scrape;
mod sharing;
mod tracing;
mod watch;

use e2e::Body;

/// Returns a body that can host the cells of the stories (`src/bin/stories_body.rs`).
fn stories(id: &str) -> Body {
    Body::of(env!("CARGO_BIN_EXE_stories_body"), id)
}

/// Prints what a story has measured, for a developer who runs it with `--no-capture`.
#[allow(clippy::print_stderr, reason = "it is for people")]
fn measured(words: &str) {
    eprintln!("{words}");
}
