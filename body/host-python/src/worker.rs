//! The worker: the process side of a Python cell in a process of its own. It is this program,
//! started by a body.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::Write,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use cbs::{Cell, CellContext, CellEnv, CellError, CellName, Code, DynCell, Envelope};
use futures::FutureExt;
use pyo3::prelude::*;
use sidecar::{Connection, Options, proto};
use tokio::sync::watch;

use crate::{
    interpreter::{self, BUILT},
    pool::{Plan, Pool, StartError, WatchdogSettings},
};

/// Exit status of a worker that failed while it served: EX_SOFTWARE of sysexits.
const FAILED: u8 = 70;
/// Exit status of a worker with invalid arguments: EX_USAGE.
const USAGE: u8 = 64;

/// Runs a worker to its end. `cbs python-worker` calls it with the arguments that follow the
/// sub-command. Only a body starts it, with
/// `--cell NAME --file FILE --function FUNCTION [--site FOLDER]`.
#[must_use]
pub fn worker(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (status, said) = match Task::of(arguments) {
        Err(error) => (USAGE, Err(error)),
        Ok(task) => (FAILED, serve(task)),
    };
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The body captures this. A person sees it if they start the worker by hand.
            _ = writeln!(std::io::stderr(), "python-worker: {error}");
            ExitCode::from(status)
        }
    }
}

/// Task of a worker, from its arguments.
struct Task {
    cell: CellName,
    file: PathBuf,
    function: String,
    site: Option<PathBuf>,
}

impl Task {
    fn of(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut given: BTreeMap<String, OsString> = BTreeMap::new();
        let mut arguments = arguments.into_iter();
        while let (Some(flag), Some(value)) = (arguments.next(), arguments.next()) {
            given.insert(flag.to_string_lossy().into_owned(), value);
        }
        let mut take = |flag: &str| given.remove(flag);
        let missing = |flag: &str| format!("`{flag}` is missing: only a body starts this");
        let cell = take("--cell").ok_or_else(|| missing("--cell"))?.to_string_lossy().into_owned();
        Ok(Self {
            cell: cell.parse().map_err(|error: cbs::NameError| error.to_string())?,
            file: take("--file").ok_or_else(|| missing("--file"))?.into(),
            function: take("--function")
                .ok_or_else(|| missing("--function"))?
                .to_string_lossy()
                .into_owned(),
            site: take("--site").map(PathBuf::from),
        })
    }
}

fn serve(task: Task) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let hello = proto::Hello {
            sdk: format!("cbs-python {}", env!("CARGO_PKG_VERSION")),
            language: format!("python {}", BUILT.version),
            cells: vec![task.cell.to_string()],
            ..proto::Hello::default()
        };
        let connection = Connection::open(hello).await.map_err(|error| error.to_string())?;
        connection.forward_log();
        let concurrency = connection.welcome().cells.first().map_or(64, |cell| cell.concurrency);
        let name = task.cell.clone();
        let cell =
            Arc::new(Apart { task, concurrency: concurrency as usize, pool: Mutex::new(None) });
        let health = cell.clone();
        let options = Options { health: Arc::new(move || health.pong()), stop: stuck().boxed() };
        let cells = BTreeMap::from([(name, cell as Arc<dyn DynCell>)]);
        connection.serve_with(cells, options).await.map_err(|error| error.to_string())
    })
}

/// Reason why the process ends, once there is one.
static STUCK: OnceLock<watch::Sender<Option<String>>> = OnceLock::new();

fn stuck_at() -> &'static watch::Sender<Option<String>> {
    STUCK.get_or_init(|| watch::Sender::new(None))
}

/// Ends this process with this reason, which is reported to the body.
pub(crate) fn end(reason: &str) -> ! {
    stuck_at().send_replace(Some(reason.to_owned()));
    // The thread that talks to the body needs a moment for its goodbye, and no lock of Python's.
    std::thread::sleep(std::time::Duration::from_millis(200));
    std::process::exit(i32::from(FAILED));
}

async fn stuck() -> String {
    let mut reason = stuck_at().subscribe();
    let reported = reason.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    match reported {
        Some(reason) => reason,
        None => std::future::pending().await,
    }
}

/// Cell of a worker, with one lane in this process.
struct Apart {
    task: Task,
    concurrency: usize,
    pool: Mutex<Option<Arc<Pool>>>,
}

impl Apart {
    fn pool(&self) -> Option<Arc<Pool>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pong(&self) -> proto::Pong {
        let lanes = self.pool().map(|pool| pool.workers()).unwrap_or_default();
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        proto::Pong {
            in_flight: small(lanes.iter().map(|lane| lane.in_flight).sum()),
            queued: small(lanes.iter().map(|lane| lane.queued).sum()),
            lag_us: lanes.iter().map(|lane| lane.lag_us).max().unwrap_or(0),
            lock_wait_us: lanes.iter().map(|lane| lane.lock_wait_us).max().unwrap_or(0),
            ..proto::Pong::default()
        }
    }

    fn plan(&self, env: &CellEnv) -> Result<Plan, String> {
        interpreter::start().map_err(|error| error.to_string())?;
        interpreter::set_up(self.task.site.as_deref()).map_err(|error| error.to_string())?;
        // A crash in C code writes its Python lines to standard error, which the body logs.
        let watched =
            Python::attach(|py| py.import("faulthandler")?.call_method1("enable", (2,)).map(drop));
        watched.map_err(|error| error.to_string())?;
        Ok(Plan {
            env: Arc::new(env.clone()),
            source: std::fs::read(&self.task.file)
                .map_err(|error| format!("{}: {error}", self.task.file.display()))?,
            file: self.task.file.clone(),
            function: self.task.function.clone(),
            lanes_min: 1,
            lanes_max: 1,
            concurrency: self.concurrency,
            watchdog: WatchdogSettings { exit_when_stuck: true, ..WatchdogSettings::default() },
        })
    }
}

impl Cell for Apart {
    async fn call(&self, context: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        let pool = self
            .pool()
            .ok_or_else(|| CellError::new(Code::Unavailable, "the worker has no lane"))?;
        // The notes about a call that is given up have reached the body by then.
        crate::cell::call(&pool, context, request, true).await
    }

    async fn start(&self, env: &CellEnv) -> Result<(), CellError> {
        let failed = |reason: String| CellError::new(Code::Internal, reason);
        let plan = self.plan(env).map_err(failed)?;
        let pool = Pool::start(plan).await.map_err(|error| match error {
            StartError::Cell(host::HostError::Start(error)) => error,
            other => failed(other.to_string()),
        })?;
        *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = Some(pool);
        Ok(())
    }

    async fn stop(&self) {
        if let Some(pool) = self.pool() {
            pool.stop().await;
        }
    }
}
