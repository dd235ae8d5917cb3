//! Stories of CBS: a real nats-server, several real bodies, and callers that know nothing of
//! either.
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
//! Processes end with the test that started them, also when it panics or is killed. Nothing here
//! sleeps.
//!
//! Some stories take minutes when they run in full: an outage of a minute, ten thousand specs,
//! twenty edits. The gate runs them on a smaller scale; `STORIES=full` in the environment runs them
//! in full ([`in_full`]).
//!
//! # Layout
//!
//! - [`Fleet`]: a server and the bodies on it. [`Body`]: a body that is not started yet.
//!   [`Monitor`]: the server's counters.
//! - [`World`]: a working folder and an environment of its own. [`Process`], [`Done`]: a program
//!   that runs, and its status and outputs after its end.
//! - [`Caller`], [`Answer`], [`Tap`]: any NATS client. [`Load`]: many calls at once.
//! - [`Collector`]: receives spans and log lines by OTLP.
//! - [`Standings`]: the states of the deployed entries in each body. [`Proxy`]: loses messages of a
//!   server.
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

/// Limit of a wait: longer than any wait takes, even on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// True if stories that take minutes run in full: `STORIES=full` is in the environment. Else they
/// run on a smaller scale, for the gate.
#[must_use]
pub fn in_full() -> bool {
    std::env::var("STORIES").is_ok_and(|word| word == "full")
}
