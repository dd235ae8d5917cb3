//! Stories of CBS: a real nats-server, several real bodies, and callers that know nothing of either.
//!
//! ```no_run
//! # async fn story() {
//! use e2e::{Body, Fleet};
//! use serde_json::json;
//!
//! let fleet = Fleet::start().await;
//! let mut body = fleet.up(&Body::greeting("one")).await;
//! let answer = fleet.caller().await.call("logic.greet", &json!({ "name": "Ada" })).await;
//! assert_eq!(answer.json(), json!({ "text": "Hello, Ada!" }));
//! body.terminate().await.with_status(0);
//! # }
//! ```
//!
//! Processes end with the test that started them, also when it panics or is killed. Nothing here sleeps.
//!
//! Some stories take minutes when they are told in full: an outage of a minute, ten thousand specs, twenty edits. The
//! gate tells them on a smaller scale; `STORIES=full` in the environment tells them as they are ([`in_full`]).
//!
//! # Layout
//!
//! - [`Fleet`]: a server and what runs on it. [`Body`]: one body to be. [`Monitor`]: what the server counts.
//! - [`World`]: a working folder and an environment of its own. [`Process`], [`Done`]: a program that runs, and how it ended.
//! - [`Caller`], [`Answer`], [`Tap`]: any NATS client. [`Load`]: many calls at once.
//! - [`Collector`]: takes spans and lines by OTLP.
//! - [`Standings`]: where what is deployed runs. [`Proxy`]: a server whose words get lost.
//! - `src/bin/stories_body.rs`: the program `cbs` with cells that misbehave on request.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "this is test code: it fails loudly"
)]

mod body;
mod caller;
mod fleet;
mod load;
mod otlp;
mod process;
mod proxy;
mod specs;
mod standings;
mod world;

use std::time::Duration;

pub use self::{
    body::Body,
    caller::{Answer, Caller, Tap},
    fleet::{Fleet, Monitor},
    load::Load,
    otlp::{Collector, attributes, hex},
    process::{Done, Process, children, lives},
    proxy::{Passes, Proxy},
    standings::Standings,
    world::{World, greeting_specs, somebody_at_the_usual_port},
};

/// Longer than anything that is waited for takes, even on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Whether stories that take minutes are told in full: where `STORIES=full` is in the environment. Else they are told
/// on a scale that suits the gate.
#[must_use]
pub fn in_full() -> bool {
    std::env::var("STORIES").is_ok_and(|word| word == "full")
}
