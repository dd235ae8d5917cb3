//! Cells in processes of their own: Dart, and any executable that speaks the sidecar protocol.
//!
//! ```no_run
//! use std::sync::Arc;
//! use cbs::{BodyBus, BoxFuture, CellError, Console, Envelope, CellEnv, Namespace};
//! use host::{Restarts, Supervisor};
//! use host_sidecar::{Settings, SidecarHost};
//!
//! /// A program without a terminal.
//! struct NoConsole;
//!
//! impl Console for NoConsole {
//!     fn print(&self, _: String) -> BoxFuture<'_, Result<(), CellError>> {
//!         Box::pin(async { Ok(()) })
//!     }
//!     fn ask(&self, _: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
//!         Box::pin(async { Ok(None) })
//!     }
//! }
//!
//! # async fn run(specs: spec::Specs, bus: Arc<dyn BodyBus>) -> Result<(), Box<dyn std::error::Error>> {
//! let host = SidecarHost::exec(Settings::new(Namespace::default()));
//! let supervisor = Supervisor::new(vec![Arc::new(host)], Restarts::default());
//! for spec in specs.cells() {
//!     let env = CellEnv::new(spec.name.clone().into(), "web1".parse()?, bus.clone(), Arc::new(NoConsole));
//!     let running = supervisor.start(spec.clone(), env)?;
//!     running.ready(std::time::Duration::from_secs(10)).await.map_err(|state| format!("{state:?}"))?;
//! }
//! let reply = bus.call(Envelope::request("demo.shout".parse()?, r#""hello""#)).await?;
//! assert_eq!(reply.via, cbs::Transport::Ipc);
//! # Ok(())
//! # }
//! ```
//!
//! # A process's life
//!
//! It is started in a process group of its own, in the folder of its spec, with next to nothing of the
//! body's environment, and told where its socket is. It connects, says hello within
//! [`Timeouts::hello`] and, once its start hook is done, ready within [`Timeouts::ready`]. From then on it takes
//! calls: each goes to the least busy process of the cell. It is asked after its health every second.
//!
//! While one process of a cell lives, another that ends is started again here, with backoff; when none is
//! left, the cell has ended, and the body's supervisor starts it again with its own. A cell may have more
//! processes than it needs at rest ([`Launch::instances`]): another is started while all are full or have
//! calls waiting within them, and the last in order leaves when it was not called for [`Timeouts::idle`].
//!
//! At its stop a process is told to drain, waited for, then told by SIGTERM and then killed. Whatever
//! happens to the body, its processes die with it, and what they started in their group dies with them.
//! What leaves the group (`setsid`) notices the end of the socket, or is on its own.
//!
//! # What becomes of processes that misbehave
//!
//! Each row is a test. In every one of them the body and its other cells go on.
//!
//! | the process | what the body does | calls that it holds |
//! |---|---|---|
//! | never says hello, or half of one | kills it after [`Timeouts::hello`] | – |
//! | speaks another version, serves another cell, says garbage or anything else instead of hello | tells it why (goodbye), ends it | – |
//! | exits before hello or before ready | reports how, and its last words | – |
//! | is never ready | kills it after [`Timeouts::ready`] | – |
//! | says hello twice | ends it: `protocol` | – |
//! | sends a frame beyond the maximum, or garbage | ends it: `protocol` | `cell-failed` at once |
//! | stops in the middle of a frame, freezes, answers no pings | kills it after [`Timeouts::pong`] | `cell-failed` then |
//! | replies to what nobody asked, or twice | ends it: `protocol`; the first reply counts | `cell-failed` at once |
//! | replies with what is no frame of this version | goes on with it | that one call: `cell-failed` |
//! | sends without credit | ends it: `protocol` | `cell-failed` at once |
//! | closes its socket, exits, is killed | starts it again | `cell-failed` at once; `unavailable` where they were not sent |
//! | answers no cancelled calls until they take all its room | kills it after [`Timeouts::cancel`] | `unavailable`: they waited for room |
//! | crashes again and again | the supervisor's: `failed`, tried once a minute | `unavailable` or `not-found` |
//! | floods its outputs | logs 200 lines a second of each, tells how many were left out | answered |
//! | starts others and exits | kills those | – |
//! | ignores drain and SIGTERM | kills it after [`Timeouts::drain`] and [`Timeouts::term`] | answered before |
//! | takes more memory or files than its limits | it gets an error from the system, and most end by it | `cell-failed` at once |
//!
//! Cancelled calls count as its own until the process has answered them: what it does not answer, it is
//! still busy with. One that is stuck in a single call is not killed for it, for the others that it serves
//! would pay; a worker that can tell a stuck call from a long one ends itself.
//!
//! # Bounds
//!
//! What a process may send on credit is [`Settings::credit`], its calls and events at once
//! [`Settings::requests_max`], calls that wait for it those that the cell's `concurrency` lets in. A
//! flood of 100,000 messages of 16 KiB, in either direction, makes a body grow by less than 32 MiB (4 to 12
//! measured).
//!
//! `limits.memory` bounds private memory that can be written to, as it is mapped (`RLIMIT_DATA`): the
//! heap, anonymous maps, and the stacks of threads. Not the address space, of which Dart and others reserve
//! gigabytes that they never touch.
//!
//! # Layout
//!
//! - [`SidecarHost`]: the runtimes `exec` and `dart`. [`launch()`], [`Launch`]: one cell in processes, for any host.
//! - [`Settings`], [`Timeouts`]: what bounds a process.
//! - [`dart`]: sources in Dart become programs.
//! - `cell` is what the body calls; `pool` holds the processes that take calls, each a `pooled`, and says which
//!   gets the next; `supervisor` says how many there are, `replace` when better ones take their place; `inbound` is where
//!   they ask the body for something.
//! - `instance` is one life of one process, of `plan`, `process`, `environment`, `socket`, `handshake`,
//!   `connection`, `output` with `rate`, `heartbeat` and `row`.

mod cell;
mod connection;
pub mod dart;
mod environment;
mod handshake;
mod heartbeat;
mod host;
mod inbound_handler;
mod instance;
mod launch;
mod output;
mod plan;
mod pool_supervisor;
mod pooled_process;
mod process;
mod process_pool;
mod rate;
mod rolling_replace;
mod settings;
mod socket;
mod worker_status;

pub use sidecar::log;

pub use self::{
    environment::SOCKET_VARIABLE,
    host::SidecarHost,
    launch::launch,
    plan::Launch,
    settings::{Settings, Timeouts},
};
