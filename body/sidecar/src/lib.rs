//! The sidecar protocol: a body and a process of its own that serves one of its cells.
//!
//! `specs/proto/sidecar.md` describes the protocol, for SDKs in any language. Its schema is
//! `specs/proto/cbs/sidecar/v1/sidecar.proto`. This crate is both ends of it in Rust. This is a
//! Rust cell as a program of its own; it depends on this crate, on `cbs` and on `serde` with its
//! feature `derive`:
//!
//! ```no_run
//! use cbs::{CellContext, CellError};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Name { name: String }
//!
//! #[derive(Serialize)]
//! struct Greeting { text: String }
//!
//! async fn greet(_: &CellContext, input: Name) -> Result<Greeting, CellError> {
//!     Ok(Greeting { text: format!("Hello, {}!", input.name) })
//! }
//!
//! fn main() -> Result<(), sidecar::Error> {
//!     sidecar::serve_blocking(vec![cbs::cell("logic.greet", greet)])
//! }
//! ```
//!
//! A spec names the program, its path being relative to the spec's folder. `cbs up greet.yaml`
//! starts it, and `cbs call logic.greet '{"name":"Ada"}'` calls it:
//!
//! ```yaml
//! apiVersion: cbs/v1alpha1
//! kind: Cell
//! metadata: { name: logic.greet }
//! spec: { runtime: exec, command: [target/debug/greeter] }
//! ```
//!
//! [`cbs::CellContext::log`] and `tracing` write to the body's log. `println!` does so too, but
//! without the call's ids. A text for people goes through [`cbs::CellContext::print`]. Notes made
//! through [`cbs::CellContext::span`] go into the body's span of the call, each time that the
//! handler waits. All calls and the answers to the body's pings run on one task. So code that
//! computes or blocks goes to `tokio::task::spawn_blocking`, else the body takes the process for
//! stuck and ends it.
//!
//! # Layout
//!
//! - [`wire`]: frames on a stream; the handshake is done with [`wire::Frames`].
//! - [`Peer`], [`Engine`], [`Inbound`]: one end after the handshake, the same for either side.
//! - [`serve()`], [`serve_blocking`], [`Connection`]: the cell's side. The crate `host-sidecar` is
//!   the body's.
//! - [`hand_on_notes`]: moves the notes about a call from one of its contexts to another.
//! - [`proto`]: the schema's types.
//!
//! # What both sides keep
//!
//! Every rule has a test with its number in its name.
//!
//! Frames:
//!
//! - **SIDE-1** A frame MUST be its length in four bytes, big endian, and then one message `Frame`
//!   of exactly so many bytes.
//! - **SIDE-2** A side MUST refuse a frame beyond its limit before it reads it, and MUST NOT send
//!   one beyond the other side's.
//! - **SIDE-3** A frame of no bytes, a frame that cannot be read, and a stream that ends within a
//!   frame MUST end the connection.
//! - **SIDE-4** Kinds, fields and levels that a side does not know MUST be passed over.
//!
//! The session:
//!
//! - **SIDE-5** A sidecar MUST say hello first, and nothing more before it has read welcome.
//! - **SIDE-6** A side that cannot go on after hello or welcome (another version, a cell that is
//!   not there) MUST say goodbye with the reason.
//! - **SIDE-7** A sidecar MUST say ready once, after its start hooks; the body MUST NOT send
//!   requests before.
//! - **SIDE-8** Hello, welcome or ready twice, and a kind that only the other side may send, MUST
//!   end the connection.
//!
//! Requests:
//!
//! - **SIDE-9** Each side MUST number its requests and questions so that every number is greater
//!   than the one before it, from 1.
//! - **SIDE-10** A request MUST get exactly one reply, a cancelled one too. A reply to anything
//!   else MUST end the connection.
//! - **SIDE-11** A reply that is no frame of cbs.v1 MUST be taken for a payload.
//! - **SIDE-12** A cancel MUST end the handling of its request where it can be ended, and MUST do
//!   nothing where the request has been answered.
//! - **SIDE-13** A sidecar MUST answer with `timeout` when the envelope's time has passed, and then
//!   end the handling.
//! - **SIDE-14** An exception or a panic MUST be answered with `cell-failed`; what it says MUST
//!   stay in the log.
//! - **SIDE-15** Requests beyond what the other side takes at once MUST be answered with
//!   `overloaded`.
//! - **SIDE-16** What a sidecar sends while it handles a request MUST name that request in
//!   `within`.
//!
//! Credit:
//!
//! - **SIDE-17** A side MUST NOT send a request, reply, print, question, log line or note while its
//!   credit is 0 or less.
//! - **SIDE-18** Credit MUST go back when a frame has been handed on, not when a request has been
//!   answered.
//! - **SIDE-19** All other kinds cost nothing and MUST NOT wait for credit.
//!
//! Notes:
//!
//! - **SIDE-24** A note MUST NOT be sent where welcome has no `notes_max`, nor more than so many
//!   within one request. It costs its frame, MUST NOT wait, and is never answered.
//! - **SIDE-25** Of what notes say about a request the body MUST keep `notes_max` of them and 1,024
//!   bytes of each text, and count the others; a note within no request that is unanswered MUST be
//!   passed over.
//!
//! Health, and the end:
//!
//! - **SIDE-20** A ping MUST be answered at once with its nonce, while calls run too.
//! - **SIDE-21** After drain a sidecar MUST answer what it has, run its stop hooks, and say
//!   goodbye.
//! - **SIDE-22** Nothing follows a goodbye: who has sent one MUST close the socket, who has read
//!   one too.
//! - **SIDE-23** When the connection ends, every request under way MUST fail at once with the
//!   reason, and a sidecar's process MUST end.

pub mod log;
mod notes;
mod peer;
mod serve;
pub mod wire;

/// The frames as prost reads them, generated from `specs/proto/`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod proto {
    include!("../generated/cbs.sidecar.v1.rs");
}

pub use self::{
    notes::hand_on_notes,
    peer::{
        Abandoned, Call, CallError, End, Engine, Hold, Inbound, Notice, Peer, Role, Sent, Settings,
    },
    serve::{Connection, Error, Options, SOCKET_VARIABLE, serve, serve_blocking},
};

/// The version of the protocol that this crate speaks.
pub const PROTOCOL: u32 = 1;
