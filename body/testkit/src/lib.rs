//! Helpers for the tests of CBS: conformance suites, a cell harness, a scripted peer, a real
//! nats-server.
//!
//! A cell under test, in a scripted environment:
//!
//! ```
//! use cbs::{CellContext, CellError};
//! use serde_json::json;
//!
//! async fn greet(_: &CellContext, name: String) -> Result<String, CellError> {
//!     Ok(format!("Hello, {name}!"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let said = testkit::Harness::new().call(&cbs::cell("logic.greet", greet), json!("Ada")).await;
//! assert_eq!(said, Ok(json!("Hello, Ada!")));
//! # }
//! ```
//!
//! Code here does not sleep: [`within`] and [`eventually`] wait, and both have a deadline.
//!
//! # Layout
//!
//! - [`Harness`]: one cell, called as a body would. [`peer()`]: code under test on one side of a
//!   bus, the test on the other.
//! - [`conformance`]: the promises of [`cbs::BodyBus`] as cases, for every bus at every distance.
//! - [`NatsServer`]: a real nats-server, killed with the test. [`NatsCluster`]: three of them.
//! - [`vectors`]: the golden vectors that every language reads.
//! - [`within`], [`eventually`]: waiting.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: it fails loudly"
)]

mod cluster;
pub mod conformance;
mod harness;
mod nats;
mod peer;
pub mod vectors;
mod wait;

/// The JSON types of [`Harness`], so that a cell's tests need no other crate.
pub use serde_json::{Value, json};

pub use self::{
    cluster::NatsCluster,
    harness::Harness,
    nats::NatsServer,
    peer::{Request, ScriptedPeer, peer},
    wait::{eventually, within},
};
