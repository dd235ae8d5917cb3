//! Host of Python cells: checks and starts them.

use std::{ffi::OsString, fs, path::Path, sync::Arc, time::Duration};

use cbs::{BoxFuture, CellEnv};
use host::{Host, HostError, Started};
use host_sidecar::Settings;
use model::{CellSpec, Python, Runtime};

use crate::{
    cell::PythonCell,
    check, environment, interpreter,
    pool::{Plan, Pool, StartError, WatchdogSettings},
    process::{self, Workers},
};

/// Host of Python cells: in lanes of this process's interpreter, or in processes of their own.
pub struct PythonHost {
    watchdog: WatchdogSettings,
    workers: Workers,
}

impl PythonHost {
    /// Creates a host. The interpreter is started with the first cell that does not run in a
    /// process of its own. `settings` has the limits of such processes.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { watchdog: WatchdogSettings::default(), workers: Workers { settings, command: None } }
    }

    /// Sets the program that runs as a worker, instead of this program with
    /// [`WORKER_COMMAND`](crate::WORKER_COMMAND). It must call [`worker`](crate::worker()) with the
    /// arguments that follow these.
    #[must_use]
    pub fn with_worker_command(mut self, command: Vec<OsString>) -> Self {
        self.workers.command = Some(command);
        self
    }

    /// Sets the time after which a lane that does not answer counts as blocked. The default is 1 s.
    #[must_use]
    pub fn with_blocked_after(mut self, limit: Duration) -> Self {
        self.watchdog.blocked_after = limit;
        self
    }
}

fn python(spec: &CellSpec) -> Result<&Python, HostError> {
    match &spec.runtime {
        Runtime::Python(python) => Ok(python),
        other => Err(HostError::Runtime(format!(
            "`{}` is no Python cell but {}",
            spec.name,
            other.as_str()
        ))),
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

    fn start<'a>(
        &'a self,
        spec: &'a CellSpec,
        env: &'a CellEnv,
    ) -> BoxFuture<'a, Result<Started, HostError>> {
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
    async fn start_in_lanes(
        &self,
        spec: &CellSpec,
        python: &Python,
        env: &CellEnv,
    ) -> Result<Started, HostError> {
        let file = python.file.clone();
        let source = blocking(move || ready(&file)).await??;
        let plan = Plan {
            env: Arc::new(env.clone()),
            file: std::path::absolute(&python.file).unwrap_or_else(|_| python.file.clone()),
            source,
            function: python.function.clone(),
            lanes_min: python.workers.min.get(),
            lanes_max: python.workers.max.get(),
            concurrency: spec.policy.concurrency,
            watchdog: self.watchdog,
        };
        let pool = Pool::start(plan).await.map_err(|error| match error {
            StartError::Cell(error) => error,
            other => HostError::Runtime(other.to_string()),
        })?;
        let mut ended = pool.ended();
        let workers = Arc::downgrade(&pool);
        let cell = Arc::new(PythonCell(pool));
        Ok(Started {
            ended: Box::pin(async move {
                let reason = ended
                    .wait_for(Option::is_some)
                    .await
                    .map(|reason| reason.clone().unwrap_or_default());
                match reason {
                    Ok(reason) => reason,
                    // The pool was dropped, so nobody needs the reason.
                    Err(_) => std::future::pending().await,
                }
            }),
            workers: Some(Arc::new(move || {
                workers.upgrade().map(|pool| pool.workers()).unwrap_or_default()
            })),
            ..Started::new(cell)
        })
    }
}

/// Starts and sets up the interpreter for a cell, and reads the cell's file.
fn ready(file: &Path) -> Result<Vec<u8>, HostError> {
    let wrong = |error: interpreter::InterpreterError| HostError::Runtime(error.to_string());
    interpreter::start().map_err(wrong)?;
    interpreter::set_up(environment::shared()).map_err(wrong)?;
    fs::read(file).map_err(|error| HostError::Runtime(format!("{}: {error}", file.display())))
}

/// Runs blocking work on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HostError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| HostError::Runtime(format!("it could not be made ready: {error}")))
}
