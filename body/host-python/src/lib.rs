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
//! There is one interpreter in each process. It is started with the first Python cell, so a body
//! without one pays nothing. It ignores settings of the user's environment (`PYTHONPATH`, user
//! site-packages), and leaves signals to the body. It must be the Python that the program was built
//! with: another major.minor version, or a libpython from another folder, is refused with an error
//! that says what to do. Cells can import the standard library, the SDK that is built into the
//! program (loaded from memory, so that no other `cbs` comes first), msgspec from a per-user
//! environment that is made with the first cell, and the files beside the cell's file.
//!
//! # A cell's modules
//!
//! A file is compiled from its bytes, never from a `.pyc`, as a module with a unique name. The
//! files beside it that it imports are modules below that name. Two cells, two versions of a cell,
//! and two lanes of one cell share nothing but the libraries. `python/modules.py` describes how
//! this works and what does not work: `importlib.import_module("helper")` finds nothing beside the
//! cell's file, `import helper` does.
//!
//! # Lanes
//!
//! A lane is a thread with one asyncio loop. `workers` sets the number of lanes of a cell. Cells
//! share no lanes, so that a cell that blocks delays only itself (and, while it computes, all
//! others through Python's single lock). Each lane has its own module, state and hooks. Calls and
//! answers cross the border between Rust and Python in batches:
//!
//! 1. The caller's task puts the call into the lane's inbox and, if the loop is not at work, wakes
//!    it through a socket pair. It never waits for Python's lock.
//! 2. The loop takes all calls in the inbox, claims each, and runs it: a coroutine without an
//!    `await` at once, any other coroutine as a task, a `def` on a thread of the lane's own (8 at
//!    most).
//! 3. Answers go back together at the end of the turn and wake their callers. Messages that a cell
//!    sends run on tokio, and their results come back through the inbox.
//!
//! A caller that gives up cancels the task; a task that ignores this is logged. Calls that wait for
//! more than 20 ms are given to lanes without calls, and up to `workers.max` more lanes are started
//! for the rest. Those lanes end again when they were not needed for 10 s. A lane whose loop has
//! not answered for 1 s is named in the log, with the file and line that it is at.
//!
//! # Bounds
//!
//! | what | bound | at the bound |
//! |---|---|---|
//! | calls that wait in a lane; that run in one, given up or not | 4 × the cell's `concurrency` each | `overloaded` |
//! | messages that a cell sends at once | 1,024 | `overloaded` |
//! | threads of a `def` cell in a lane, threads of `asyncio.to_thread` | 8 each | calls wait |
//! | printed lines (up to 8,192 characters), logged lines | 200 a second each, 1,000 at once | left out, counted |
//! | tasks that a cell leaves behind | 1 s at its stop | cancelled, logged |
//!
//! # Limits of one interpreter
//!
//! A crash in C code ends the body. C code that keeps Python's lock stops all Python cells, and is
//! logged. A `sys.setrecursionlimit` beyond the default can overflow a stack. `os.fork` raises an
//! error, because the child would have none of the process's other threads. A subprocess inherits
//! the body's standard output. For cells that need more isolation there is `isolation: process`:
//! this program runs again as a [`worker()`] with one lane, started and watched like any sidecar.
//! There, a call that does not end within 250 ms after it was cancelled ends the process, which is
//! started again. A `requirements.txt` beside the cell's file, or dependencies in a
//! `pyproject.toml`, imply `isolation: process`.
//!
//! # Threads and processes of cells
//!
//! A thread that is started within a call has the context of that call (`cbs._carry`).
//! `multiprocessing` uses the spawn method: a new process first receives the SDK and the cell's
//! module under its own name, together with its task (`python/children.py`). Its printed lines, and
//! everything that is written to `sys.stdout.fileno()`, come through a pipe of the lane. The
//! process ends with its parent, and with the cell.
//!
//! # Layout
//!
//! - [`PythonHost`]: starts cells. [`check_source`]: checks a file without running it.
//!   [`python_info()`]: data for `cbs doctor`.
//! - `interpreter`, `environment`, `requirements`: the Python of this program, and the packages
//!   that cells can import.
//! - `pool`, `lane`, `lane_thread`, `call`, `host_call`: the Rust side of a cell's lanes. `port`,
//!   `port_call`: their Python side. The SDK's part is `cbs._body`.
//! - `watch`, `probe`: the threads that watch lanes and that find their place in the code. `log`:
//!   log lines of cells.
//! - `process`, [`worker()`]: both sides of a cell in a process of its own.
//!
//! The tests follow the rule of one interpreter in each process too: nextest runs each test in a
//! process of its own. With `cargo test` use `--test-threads=1`; tests that count modules and
//! threads then also count those of other tests.

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
