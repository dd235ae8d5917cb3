//! One end of the protocol against the other, and against peers that break it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

mod breach;
mod bytes;
mod calls;
mod credit;
mod end;
mod pair;
