//! Python cells: lanes of embedded CPython, and worker processes.
//!
//! ```no_run
//! use std::sync::Arc;
//! use cbs::{BodyBus, BoxFuture, CellError, Console, Envelope, CellEnv, Namespace};
//! use host::{Restarts, Supervisor};
//! use host_python::PythonHost;
//! use host_sidecar::Settings;
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
//! let host = PythonHost::new(Settings::new(Namespace::default()));
//! let supervisor = Supervisor::new(vec![Arc::new(host)], Restarts::default());
//! for spec in specs.cells() {
//!     let env = CellEnv::new(spec.name.clone().into(), "web1".parse()?, bus.clone(), Arc::new(NoConsole));
//!     let running = supervisor.start(spec.clone(), env)?;
//!     running.ready(std::time::Duration::from_secs(30)).await.map_err(|state| format!("{state:?}"))?;
//! }
//! let reply = bus.call(Envelope::request("logic.greet".parse()?, r#"{"name":"Ada"}"#)).await?;
//! # let _ = reply;
//! # Ok(())
//! # }
//! ```
//!
//! # The interpreter
//!
//! One a process, started with the first Python cell: a body without one pays nothing. It is apart from what a person's
//! environment says (`PYTHONPATH`, user site-packages), leaves signals to the body, and is the very Python that the
//! program was built with: another major.minor, or a libpython from another place, is refused with what to do. What
//! cells can import is the standard library, the SDK that is built into the program (from memory, so that no other
//! `cbs` wins), msgspec from a per-user environment that is made with the first cell, and what stands beside a
//! cell's file.
//!
//! # A cell's modules
//!
//! A file is compiled from its bytes, never from a `.pyc`, as a module of a name that no other has; what it imports from
//! beside itself goes under that name too. Two cells, two versions of a cell, and two lanes of one, share nothing but
//! the libraries. `python/modules.py` tells how, and what does not work: `importlib.import_module("helper")` finds
//! nothing beside the cell's file, `import helper` does.
//!
//! # Lanes
//!
//! A lane is a thread with one asyncio loop; `workers` says how many a cell has, and none is shared between cells, so
//! that a cell that blocks delays only itself (and, while it computes, all others through Python's one lock). Module,
//! state and hooks are each lane's own. Calls and answers cross the border in batches:
//!
//! 1. The caller's task puts the call into the lane's inbox and, unless the loop is at work, rings its bell (a socket
//!    pair). It never asks for Python's lock.
//! 2. The loop takes all that is there, claims each call, and runs it: a coroutine without an `await` at once, any
//!    other as a task, a `def` on a thread of the lane's own (8 at most).
//! 3. Answers go back together at the end of the turn and wake their callers. What a cell sends is carried out on
//!    tokio and comes back through the inbox.
//!
//! A caller that gives up cancels the task; what swallows that is told. Calls that wait for more than 20 ms are given
//! to lanes with nothing to do, and up to `workers.max` more lanes are started for the rest; those end again when they
//! were not needed for 10 s. A lane that has not come round for 1 s is named in the log, with the file and line at
//! which it stands.
//!
//! # Bounds
//!
//! | what | bound | at the bound |
//! |---|---|---|
//! | calls that wait in a lane; that run in one, given up or not | 4 × the cell's `concurrency` each | `overloaded` |
//! | what a cell sends at once | 1,024 | `overloaded` |
//! | threads of a `def` cell in a lane, threads of `asyncio.to_thread` | 8 each | calls wait |
//! | what is printed, what is logged | 200 lines a second each, 1,000 at once; a printed one 8,192 characters | left out, counted |
//! | tasks that a cell leaves behind | 1 s at its stop | cancelled, told |
//!
//! # What one interpreter cannot hold
//!
//! A crash in C code ends the body; code in C that keeps Python's lock stops all Python cells, and is told of; a
//! `sys.setrecursionlimit` beyond the default can overflow a stack; `os.fork` raises, for the child would have none of
//! the process's other threads; what a subprocess inherits as standard output is the body's. For cells that need
//! more than that there is `isolation: process`: this program again as a [`worker()`], one lane, started and watched as
//! any sidecar is. There a call that does not end 250 ms after it was cancelled ends the process, which is started
//! again. A `requirements.txt` beside the cell's file, or dependencies in a `pyproject.toml`, imply it.
//!
//! # Threads and processes of cells
//!
//! A thread that is started below a call carries its context (`cbs._carry`). `multiprocessing` spawns: a new process first
//! gets the SDK and the cell's module under its own name, with what it is told to do (`python/children.py`). What it
//! prints, and whatever is written to `sys.stdout.fileno()`, comes through a pipe of the lane's; it ends with its parent,
//! and with the cell.
//!
//! # Layout
//!
//! - [`PythonHost`]: starts cells. [`check_source`]: checks a file without running it. [`python_info()`]: for `cbs doctor`.
//! - `interpreter`, `environment`, `requirements`: what there is of Python, and what cells can import.
//! - `pool`, `lane`, `lane_thread`, `call`, `host_call`: a cell's lanes as all threads see them. `port`, `port_call`: as
//!   Python does. The other side is `cbs._body` of the SDK.
//! - `watch`, `probe`: who looks after lanes, and who asks Python where they stand. `log`: what cells say.
//! - `process`, [`worker()`]: both sides of a cell in a process of its own.
//!
//! One interpreter a process is also the rule of the tests: nextest runs each in a process of its own. With `cargo
//! test` use `--test-threads=1`; what counts modules and threads then counts those of other tests too.

mod call;
mod cell;
mod check;
mod environment;
mod host;
mod host_call;
mod interpreter;
mod lane;
mod lane_thread;
mod log;
mod pool;
mod port;
mod port_call;
mod probe;
mod process;
mod python_info;
mod requirements;
mod watch;
mod worker;

pub use self::{
    check::check_source,
    host::PythonHost,
    interpreter::InterpreterError,
    process::WORKER_COMMAND,
    python_info::{PythonInfo, python_info},
    requirements::named_by_requirements,
    worker::worker,
};
