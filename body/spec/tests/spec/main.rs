//! Tests of the public interface: accepted specs, and mistakes with their places.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod demo;
mod flows;
mod folders;
mod mistakes;
mod properties;
mod render;
mod schemas;
mod support;
mod values;
mod yaml;
