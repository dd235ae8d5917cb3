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
//! # The life of a process
//!
//! A process is started in a process group of its own, in the folder of its spec, with few
//! variables of the body's environment, and one that names its socket. It connects, says hello
//! within [`Timeouts::hello`] and, after its start hook, ready within [`Timeouts::ready`]. From
//! then on it takes calls: each goes to the least busy process of the cell. The body checks its
//! health every second.
//!
//! While one process of a cell runs, another that ends is started again here, with backoff. When
//! none is left, the cell has ended, and the body's supervisor starts it again with a backoff of
//! its own. A cell may have more processes than it needs at rest ([`Launch::instances`]): another
//! is started while all are full or have calls waiting within them. The last in order ends when it
//! had no call for [`Timeouts::idle`].
//!
//! At its stop a process gets drain, then SIGTERM and then SIGKILL, each after a time to end by
//! itself. Whatever happens to the body, its processes die with it, and so do the processes that
//! they started in their group. A process that leaves the group (`setsid`) must notice the end of
//! the socket itself.
//!
//! # Processes that misbehave
//!
//! Each row has a test. In every one of them the body and its other cells go on.
//!
//! | the process | what the body does | calls that it holds |
//! |---|---|---|
//! | never says hello, or half of one | kills it after [`Timeouts::hello`] | – |
//! | speaks another version, serves another cell, sends no hello | sends the reason (goodbye), ends it | – |
//! | exits before hello or before ready | reports how it ended, and its last lines | – |
//! | is never ready | kills it after [`Timeouts::ready`] | – |
//! | says hello twice | ends it: `protocol` | – |
//! | sends a frame beyond the maximum, or garbage | ends it: `protocol` | `cell-failed` at once |
//! | stops within a frame, freezes, answers no pings | kills it after [`Timeouts::pong`] | `cell-failed` then |
//! | replies to no request, or twice | ends it: `protocol`; the first reply counts | `cell-failed` at once |
//! | replies with bytes that are no frame of this version | goes on with it | that one call: `cell-failed` |
//! | sends without credit | ends it: `protocol` | `cell-failed` at once |
//! | closes its socket, exits, is killed | starts it again | `cell-failed` at once, `unavailable` if not sent |
//! | answers no cancelled calls, and they fill its capacity | kills it after [`Timeouts::cancel`] | `unavailable` |
//! | crashes again and again | the supervisor: `failed`, tried once a minute | `unavailable` or `not-found` |
//! | floods its outputs | logs 200 lines a second of each, reports how many were left out | answered |
//! | starts other processes and exits | kills those | – |
//! | ignores drain and SIGTERM | kills it after [`Timeouts::drain`] and [`Timeouts::term`] | answered before |
//! | exceeds its limit of memory or files | leaves it to the system; most end by its errors | `cell-failed` at once |
//!
//! Cancelled calls count as calls of the process until it has answered them: it is still busy with
//! them. A process that is stuck in a single call is not killed for that, because its other calls
//! would fail too. A worker that can tell a stuck call from a long one ends itself. Calls that wait
//! for the capacity of a process have not been sent to it, so its end makes them `unavailable`.
//!
//! # Bounds
//!
//! Every part of a process's traffic is bounded: the bytes that it sends on credit by
//! [`Settings::credit`], its calls and events at once by [`Settings::requests_max`], and the calls
//! that wait for it by the cell's `concurrency`. A flood of 100,000 messages of 16 KiB, in either
//! direction, makes a body grow by less than 32 MiB (4 to 12 measured).
//!
//! `limits.memory` bounds private memory that can be written to, as it is mapped (`RLIMIT_DATA`):
//! the heap, anonymous maps, and the stacks of threads. It does not bound the address space, of
//! which Dart and others reserve gigabytes that they never touch.
//!
//! # Layout
//!
//! - [`SidecarHost`]: the runtimes `exec` and `dart`. [`launch()`], [`Launch`]: one cell in
//!   processes, for any host.
//! - [`Settings`], [`Timeouts`]: the limits of a process.
//! - [`dart`]: sources in Dart become programs.
//! - `cell` is the side that the body calls. `process_pool` holds the processes that take calls,
//!   each a `pooled_process`, and chooses the one for the next call. `pool_supervisor` decides how
//!   many there are, `rolling_replace` when better ones replace them. `inbound_handler` takes their
//!   requests to the body.
//! - `instance` is one run of one process. It uses `plan`, `environment`, `socket`, `handshake`,
//!   `connection`, `output` with `rate`, `heartbeat` and `worker_status`.

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
