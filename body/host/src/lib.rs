//! Hosting of cells and flows: handlers that keep limits, keep a failure to one call, and are
//! restarted.
//!
//! A [`Host`] starts cells of one kind; [`NativeHost`] starts those that are linked into the
//! program. A [`Supervisor`] keeps each cell running and serves it through a [`CellHandler`], which
//! checks schemas, limits the calls that run, ends them at their deadline, and turns a panic into
//! an error for one caller. A [`FlowHandler`] does the same for a flow.
//!
//! ```
//! use std::sync::Arc;
//! use bus::{InProcess, Settings};
//! use cbs::{BodyBus, BoxFuture, CellContext, CellError, Console, Envelope, CellEnv, Target};
//! use host::{CellHandler, CallLimits, Schemas};
//!
//! async fn greet(_: &CellContext, name: String) -> Result<String, CellError> {
//!     Ok(format!("Hello, {name}!"))
//! }
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
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = InProcess::new(Settings::default());
//! let target: Target = "logic.greet".parse()?;
//! let env = CellEnv::new(target.clone(), cbs::BodyId::new("web1")?, bus.clone(), Arc::new(NoConsole));
//! let cell = cbs::cell("logic.greet", greet).cell();
//! let cell_handler = CellHandler::new(Arc::new(env), cell, CallLimits::default(), Schemas::default());
//! let _serving = bus.serve(cell_handler.service(Arc::default())).await?;
//! let reply = bus.call(Envelope::request(target, r#""Ada""#)).await?;
//! assert_eq!(reply.payload, r#""Hello, Ada!""#);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! - [`Host`], [`Started`], [`HostError`]: starting cells. [`NativeHost`]: Rust cells.
//! - [`Supervisor`], [`Running`], [`State`], [`Restarts`]: start, restart and stop of a cell. The
//!   decisions (`supervisor/history`) are pure; `supervisor/driver` carries them out.
//! - [`CellHandler`], [`Schemas`], [`CallLimits`]: a cell as a handler. [`FlowHandler`],
//!   [`StepObserver`], [`StepReport`]: a flow as a handler.
//! - [`Watchdog`]: reports the cell that blocks its thread. All handlers share `guard`: limits,
//!   deadline, counters, panics.

mod cell_handler;
mod flow_handler;
mod guard;
mod limits;
mod native;
mod observer;
mod runtime;
mod schemas;
mod supervisor;
mod token_bucket;

pub use self::{
    cell_handler::{CellHandler, about},
    flow_handler::FlowHandler,
    guard::watchdog::{Blocked, Watchdog},
    limits::CallLimits,
    native::NativeHost,
    observer::{StepObserver, StepReport},
    runtime::{Host, HostError, Started},
    schemas::Schemas,
    supervisor::{Restarts, Running, State, Supervisor},
    token_bucket::TokenBucket,
};
