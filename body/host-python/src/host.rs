//! What starts Python cells.

use std::{ffi::OsString, fs, path::Path, sync::Arc, time::Duration};

use cbs::{BoxFuture, CellEnv};
use host::{Host, HostError, Started};
use host_sidecar::Settings;
use spec::{CellSpec, Python, Runtime};

use crate::{
    cell::PythonCell,
    check, environment, interpreter,
    pool::{Plan, Pool, StartError, WatchdogSettings},
    process::{self, Workers},
};

/// Hosts Python cells: in lanes of this process's interpreter, or in processes of their own.
pub struct PythonHost {
    watchdog: WatchdogSettings,
    workers: Workers,
}

impl PythonHost {
    /// A host. The interpreter is started with the first cell that is not in a process of its own; what bounds
    /// those, `settings` says.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { watchdog: WatchdogSettings::default(), workers: Workers { settings, command: None } }
    }

    /// The same with another program for workers than this one with [`WORKER_COMMAND`](crate::WORKER_COMMAND): it is
    /// to call [`worker`](crate::worker()) with what follows these arguments.
    #[must_use]
    pub fn with_worker_command(mut self, command: Vec<OsString>) -> Self {
        self.workers.command = Some(command);
        self
    }

    /// The same with another time after which a lane that does not come round counts as blocked; 1 s by default.
    #[must_use]
    pub fn with_blocked_after(mut self, limit: Duration) -> Self {
        self.watchdog.blocked_after = limit;
        self
    }
}

fn python(spec: &CellSpec) -> Result<&Python, HostError> {
    match &spec.runtime {
        Runtime::Python(python) => Ok(python),
        other => Err(HostError::Runtime(format!("`{}` is no Python cell but {}", spec.name, other.as_str()))),
    }
}

impl Host for PythonHost {
    fn runtime(&self) -> &'static str {
        "python"
    }

    fn check(&self, spec: &CellSpec) -> Result<(), HostError> {
        let python = python(spec)?;
        let checked = if process::is_apart(python)? && !interpreter::runs() {
            check::check_apart(&python.file, &python.function, &spec.name)
        } else {
            check::check_source(&python.file, &python.function, &spec.name)
        };
        checked.map_err(HostError::Runtime)
    }

    fn start<'a>(&'a self, spec: &'a CellSpec, env: &'a CellEnv) -> BoxFuture<'a, Result<Started, HostError>> {
        Box::pin(async move {
            let python = python(spec)?;
            if process::is_apart(python)? {
                self.workers.launch(spec, python, env).await
            } else {
                self.start_in_lanes(spec, python, env).await
            }
        })
    }
}

impl PythonHost {
    async fn start_in_lanes(&self, spec: &CellSpec, python: &Python, env: &CellEnv) -> Result<Started, HostError> {
        let file = python.file.clone();
        let source = blocking(move || ready(&file)).await??;
        let plan = Plan {
            env: Arc::new(env.clone()),
            file: std::path::absolute(&python.file).unwrap_or_else(|_| python.file.clone()),
            source,
            function: python.function.clone(),
            lanes_min: python.workers.min.get(),
            lanes_max: python.workers.max.get(),
            concurrency: spec.concurrency,
            watchdog: self.watchdog,
        };
        let pool = Pool::start(plan).await.map_err(|error| match error {
            StartError::Cell(error) => error,
            other => HostError::Runtime(other.to_string()),
        })?;
        let mut ended = pool.ended();
        let (workers, cell) = (Arc::downgrade(&pool), Arc::new(PythonCell(pool)));
        Ok(Started {
            ended: Box::pin(async move {
                let reason = ended.wait_for(Option::is_some).await.map(|reason| reason.clone().unwrap_or_default());
                match reason {
                    Ok(reason) => reason,
                    // The pool has gone, and with it whoever would care.
                    Err(_) => std::future::pending().await,
                }
            }),
            workers: Some(Arc::new(move || workers.upgrade().map(|pool| pool.workers()).unwrap_or_default())),
            ..Started::new(cell)
        })
    }
}

/// Makes all ready that a cell needs, and reads its file.
fn ready(file: &Path) -> Result<Vec<u8>, HostError> {
    let wrong = |error: interpreter::InterpreterError| HostError::Runtime(error.to_string());
    interpreter::start().map_err(wrong)?;
    interpreter::set_up(environment::shared()).map_err(wrong)?;
    fs::read(file).map_err(|error| HostError::Runtime(format!("{}: {error}", file.display())))
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HostError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| HostError::Runtime(format!("it could not be made ready: {error}")))
}
