//! The contract's bus over NATS core: request and reply, queue groups, events, discovery.
//!
//! A body holds two connections: one serves its cells, the other makes its calls. Any NATS client
//! can call what is served here with plain JSON, and can find it by the services protocol (ADR-32,
//! <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md>).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use bus_nats::{Nats, Options};
//! let nats = Nats::connect_client(Options::new("nats://127.0.0.1:4222", "me-1".parse()?)).await?;
//! let reply = nats.bus().call(cbs::Envelope::request("logic.greet".parse()?, r#"{"name":"Ada"}"#)).await?;
//! assert_eq!(reply.payload, r#"{"text":"Hello, Ada!"}"#);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! - [`Nats`]: the connections of a body or a client. [`Options`], [`ConnectError`]: making
//!   connections.
//! - `connection`: one connection, whose client may be replaced. `subscription`: subscriptions that
//!   stay when the client is replaced. `inbox`: replies to callers. `call`: one call, from envelope
//!   to reply.
//! - `register`: targets that this body serves. `serve`: a served target, from subscription to the
//!   end without loss. `per_body`: the same without the queue group.
//! - `admin`: questions to bodies themselves.
//! - `eject`: callers avoid bodies that hang.
//! - `message`: envelopes as NATS messages, framed and plain. `event`: events as CloudEvents.
//! - `services`: answers to `$SRV`. [`discovery`]: questions to it.
//! - [`store`]: buckets of values, leases and objects in JetStream, which stay when a body ends.
//! - [`server`]: a nats-server that a body starts itself.
//! - [`open_files`]: the limit of open files, and the reserve that lets a full body connect again.

mod admin;
mod call;
mod connect;
mod connection;
pub mod discovery;
mod eject;
mod error;
mod event;
mod inbox;
mod link;
mod message;
mod nats;
pub mod open_files;
mod options;
mod per_body;
mod register;
mod serve;
pub mod server;
mod services;
pub mod store;
mod subscription;

pub use self::{
    error::{ConnectError, ConnectErrorKind},
    link::{Counters, LinkState},
    nats::{Nats, ServerInfo},
    options::{
        CONNECT_TIMEOUT_DEFAULT, Credentials, Options, PING_INTERVAL_DEFAULT, Tls, URL_DEFAULT,
    },
    register::Announced,
};
