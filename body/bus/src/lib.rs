//! The bus inside a body: calls in process, the local-first router, and the policies around a call.
//!
//! [`InProcess`] is a complete [`BodyBus`](cbs::BodyBus) without a network: the fast path of a
//! body, and the bus of unit tests. [`Router`] puts it in front of NATS. [`RetryingBus`] tries
//! failed calls again within a budget. A host limits its cells with [`ConcurrencyLimit`] and
//! [`within`].
//!
//! ```
//! use std::sync::Arc;
//! use bus::{InProcess, Router, Settings};
//! use cbs::{BodyBus, BoxFuture, BusError, Envelope, Handler, Service, Target};
//!
//! /// Gives back what it gets.
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
//!         Box::pin(async move { Ok(Envelope::reply(request.payload)) })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = Router::new(InProcess::new(Settings::default()), None);
//! let target: Target = "demo.echo".parse()?;
//! let serving = bus.serve(Service {
//!     target: target.clone(),
//!     handler: Arc::new(Echo),
//!     about: Arc::default(),
//!     stats: Arc::default(),
//! }).await?;
//! let reply = bus.call(Envelope::request(target, "hello")).await?;
//! assert_eq!(reply.payload, "hello");
//! serving.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! - [`InProcess`], [`Settings`]: the bus without a network. It uses `registry` (which handlers
//!   serve which target, read without a lock), `registered` and `gate` (stopping without loss),
//!   `events` (bounded queues).
//! - [`Router`], [`Link`]: this body first, otherwise over NATS.
//! - [`TrafficSplit`], [`InstanceBus`]: a share of a target's calls for a canary.
//! - [`policy`]: [`ConcurrencyLimit`] (number of calls that run and wait), [`within`] (deadlines),
//!   [`RetryingBus`] and its budget.
//! - [`reply`]: fields of a reply, the same for every handler.

mod events;
mod gate;
mod in_process;
pub mod policy;
mod registered;
mod registry;
pub mod reply;
mod router;
mod traffic_split;

pub use self::{
    in_process::{InProcess, Settings},
    policy::{
        deadline::{Elapsed, Within, within},
        limit::{ConcurrencyLimit, ConcurrencySettings, Permit},
        retry::{Retried, RetryingBus},
    },
    router::{Link, Router},
    traffic_split::{InstanceBus, TrafficSplit},
};
