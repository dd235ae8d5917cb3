//! Python cells in processes of their own: this program runs as a worker, which is started like any
//! sidecar.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf, absolute},
};

use cbs::CellEnv;
use host::{HostError, Started};
use host_sidecar::{Launch, Settings};
use model::{CellSpec, Isolation, Python};

use crate::{environment, requirements::Requirements};

/// Sub-command of the body's program that runs [`crate::worker`].
pub const WORKER_COMMAND: &str = "python-worker";

/// Environment variable with the folders that the system's loader searches first.
const LIBRARIES: &str = "LD_LIBRARY_PATH";

/// Settings for starting workers.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    /// Limits of a process: what it may send, and how long the body waits for it.
    pub(crate) settings: Settings,
    /// Command that comes before the worker's own arguments. `None` means this program itself.
    pub(crate) command: Option<Vec<OsString>>,
}

impl Workers {
    pub(crate) async fn launch(
        &self,
        spec: &CellSpec,
        python: &Python,
        env: &CellEnv,
    ) -> Result<Started, HostError> {
        let file = absolute(&python.file).unwrap_or_else(|_| python.file.clone());
        let wanted = Requirements::beside(&file).map_err(HostError::Runtime)?;
        let name = spec.name.clone();
        let site = super::host::blocking(move || site(wanted.as_ref(), name.as_str())).await??;
        let mut command = self.command()?;
        let mut add = |flag: &str, value: OsString| command.extend([flag.into(), value]);
        add("--cell", spec.name.as_str().into());
        add("--file", file.clone().into());
        add("--function", python.function.clone().into());
        if let Some(site) = site {
            add("--site", site.into());
        }
        let launch = Launch {
            command,
            folder: file.parent().map(Path::to_owned),
            env: variables(&python.env),
            limits: model::Limits::default(),
            instances: python.workers,
        };
        host_sidecar::launch(&self.settings, launch, spec, env).await
    }

    fn command(&self) -> Result<Vec<OsString>, HostError> {
        match &self.command {
            Some(command) => Ok(command.clone()),
            None => {
                let program = env::current_exe().map_err(|error| {
                    HostError::Runtime(format!("this program cannot be found: {error}"))
                })?;
                Ok(vec![program.into(), WORKER_COMMAND.into()])
            }
        }
    }
}

/// Returns the environment of the spec, with this body's path to libpython added: a worker is the
/// same program.
fn variables(own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = own.clone();
    if let Ok(folders) = env::var(LIBRARIES) {
        all.entry(LIBRARIES.to_owned()).or_insert(folders);
    }
    all
}

/// Returns true if a cell has processes of its own: its spec says so, or it needs packages that the
/// body's environment may not have.
pub(crate) fn is_apart(python: &Python) -> Result<bool, HostError> {
    if python.isolation == Isolation::Process {
        return Ok(true);
    }
    Requirements::beside(&python.file).map(|wanted| wanted.is_some()).map_err(HostError::Runtime)
}

/// Returns the folder that a worker adds to its path: the cell's own environment, else the shared
/// one if there is one.
fn site(wanted: Option<&Requirements>, name: &str) -> Result<Option<PathBuf>, HostError> {
    let Some(wanted) = wanted else { return Ok(environment::shared().map(Path::to_owned)) };
    wanted.install().map(Some).map_err(|error| {
        let file = wanted.file.display();
        HostError::Runtime(format!(
            "what `{name}` needs cannot be installed ({file}): {error}; correct the file, or give this machine access to \
             a package index"
        ))
    })
}
