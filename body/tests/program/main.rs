//! Stories of the whole program `cbs`: help, exit status, signals, messages.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code: it fails loudly"
)]

mod arguments;
mod call;
mod check;
mod demo;
mod names;
mod new;
mod server;
mod support;
mod up;
