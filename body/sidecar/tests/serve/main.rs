//! A cell in a process of its own: the sidecar's side from hello to goodbye.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

mod body;
mod calls;
mod notes;
#[path = "../peer/pair.rs"]
#[allow(dead_code, reason = "it is the other test's kit")]
mod pair;
mod process;
mod session;
