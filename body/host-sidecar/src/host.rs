//! The hosts of the runtimes `exec` and `dart`.

use std::{ffi::OsString, path::Path, sync::Arc};

use cbs::{BoxFuture, CellEnv};
use host::{Host, HostError, Started};
use model::{CellSpec, Program, Rollout, Runtime, Sidecar, Workers};

use crate::{Launch, Settings, dart, launch::launch_until, rolling_replace::Better};

/// A host of one runtime, which runs its cells in processes of their own.
pub struct SidecarHost {
    settings: Settings,
    kind: Kind,
    kernels_first: bool,
}

enum Kind {
    Exec,
    Dart(Arc<dart::Builder>),
}

impl SidecarHost {
    /// Returns a host of cells with `runtime: exec`: any program that speaks the sidecar protocol.
    #[must_use]
    pub fn exec(settings: Settings) -> Self {
        Self { settings, kind: Kind::Exec, kernels_first: false }
    }

    /// Returns a host of cells with `runtime: dart`: programs, and sources that `builder` makes
    /// into programs.
    #[must_use]
    pub fn dart(settings: Settings, builder: dart::Builder) -> Self {
        Self { settings, kind: Kind::Dart(Arc::new(builder)), kernels_first: false }
    }

    /// Returns the same host, but Dart cells that are not compiled yet serve from their kernels
    /// first. A kernel takes a third of the time to make. The program takes over when it has been
    /// compiled, and no call fails.
    ///
    /// A kernel is slower in its first calls, takes some 20 MiB more memory, and runs beside its
    /// program for a moment. So two kinds of cells always wait for their program: a cell with
    /// `limits.memory`, and a cell with `rollout: { strategy: recreate }`, which never runs twice
    /// at once.
    #[must_use]
    pub fn with_kernels_first(self) -> Self {
        Self { kernels_first: true, ..self }
    }

    fn sidecar<'a>(&self, spec: &'a CellSpec) -> Result<&'a Sidecar, HostError> {
        match (&self.kind, &spec.runtime) {
            (Kind::Exec, Runtime::Exec(sidecar)) | (Kind::Dart(_), Runtime::Dart(sidecar)) => {
                Ok(sidecar)
            }
            _ => Err(HostError::NoHost {
                name: spec.name.clone(),
                runtime: spec.language(),
                hosted: vec![self.runtime()],
            }),
        }
    }

    async fn run(&self, spec: &CellSpec, env: &CellEnv) -> Result<Started, HostError> {
        let sidecar = self.sidecar(spec)?;
        let (command, later) = match (&sidecar.program, &self.kind) {
            (Program::Command(command), _) => (words(command), None),
            (Program::Source(source), Kind::Dart(builder))
                if self.kernels_first && may_overlap(spec, sidecar) =>
            {
                let soon =
                    builder.prepare_soon(source).await.map_err(|error| wrong(spec, &error))?;
                (soon.ready.command, soon.later)
            }
            (Program::Source(source), Kind::Dart(builder)) => {
                (builder.prepare(source).await.map_err(|error| wrong(spec, &error))?.command, None)
            }
            (Program::Source(source), Kind::Exec) => return Err(wrong(spec, &no_command(source))),
        };
        let launch = described(spec, sidecar, command);
        let better = later.map(|later| -> Better {
            Box::pin(better(spec.name.to_string(), launch.clone(), later))
        });
        launch_until(&self.settings, (launch, better), spec, env).await
    }
}

/// True if the program may start while its kernel serves, and the kernel may have more memory.
fn may_overlap(spec: &CellSpec, sidecar: &Sidecar) -> bool {
    sidecar.limits.memory.is_none() && spec.deployment.rollout != Rollout::Recreate
}

/// Returns the same launch with the program in place of its kernel.
async fn better(cell: String, launch: Launch, later: dart::Later) -> Option<Launch> {
    match later.made().await {
        Ok(ready) => Some(Launch { command: ready.command, ..launch }),
        Err(error @ (dart::Error::Superseded | dart::Error::Stopped)) => {
            tracing::debug!(target: "cbs::cell", cell, %error, "its kernel goes on");
            None
        }
        Err(error) => {
            tracing::warn!(target: "cbs::cell", cell, "its kernel goes on, for it becomes no program: {error}");
            None
        }
    }
}

impl Host for SidecarHost {
    fn runtime(&self) -> &'static str {
        match self.kind {
            Kind::Exec => "exec",
            Kind::Dart(_) => "dart",
        }
    }

    fn check(&self, spec: &CellSpec) -> Result<(), HostError> {
        let sidecar = self.sidecar(spec)?;
        match (&sidecar.program, &self.kind) {
            (Program::Command(command), _) => described(spec, sidecar, words(command))
                .check()
                .map_err(|error| wrong(spec, &error)),
            (Program::Source(_), Kind::Dart(builder)) => {
                builder.check().map_err(|error| wrong(spec, &error))
            }
            (Program::Source(source), Kind::Exec) => Err(wrong(spec, &no_command(source))),
        }
    }

    fn start<'a>(
        &'a self,
        spec: &'a CellSpec,
        env: &'a CellEnv,
    ) -> BoxFuture<'a, Result<Started, HostError>> {
        Box::pin(self.run(spec, env))
    }
}

fn described(spec: &CellSpec, sidecar: &Sidecar, command: Vec<OsString>) -> Launch {
    Launch {
        command,
        // Relative arguments are seen from the folder of the spec's file.
        folder: spec.metadata.file.parent().map(Path::to_path_buf),
        env: sidecar.env.clone(),
        limits: sidecar.limits,
        instances: Workers { min: sidecar.instances, max: sidecar.instances },
    }
}

fn words(command: &[String]) -> Vec<OsString> {
    command.iter().map(OsString::from).collect()
}

fn no_command(source: &Path) -> String {
    format!("`{}` is a source file, and exec runs programs: give it a `command`", source.display())
}

fn wrong(spec: &CellSpec, reason: &dyn std::fmt::Display) -> HostError {
    HostError::Runtime(format!(
        "cell `{}` ({}:{}): {reason}",
        spec.name,
        spec.metadata.file.display(),
        spec.metadata.line
    ))
}
