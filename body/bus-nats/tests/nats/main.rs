//! The bus over a real nats-server. One test binary, so that it links once.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod admin;
mod closing;
mod credentials;
mod discovery;
mod events;
mod faults;
mod flood;
mod handlers;
mod hanging;
mod limits;
mod listeners;
mod malformed;
mod per_body;
mod plain;
mod stopping;
mod store;
mod support;
mod tls;
