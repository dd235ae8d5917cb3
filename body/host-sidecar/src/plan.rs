//! The plan for the processes of one cell, and its checks.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fs,
    io::Read as _,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf, absolute},
    process::Command,
    sync::Arc,
    time::Duration,
};

use cbs::{CellEnv, SPAN_ENTRIES_MAX};
use model::{CellSpec, Limits, Workers};
use nix::{
    sys::resource::{Resource, getrlimit},
    unistd::{AccessFlags, Uid, access},
};
use sidecar::{PROTOCOL, proto};

use crate::{Settings, environment::environment};

/// Number of bytes of a program that are read to see its first line. The kernel reads no more.
const SCRIPT_HEAD: u64 = 256;

/// A program that serves a cell, and the way to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program and its arguments, never empty. A program with a `/` is a file, relative to the
    /// body's working folder. A program without one is looked up in `PATH`.
    pub command: Vec<OsString>,
    /// The working folder of the process, relative to the body's. If it is `None`, or a folder that
    /// does not exist, the body's own is used.
    pub folder: Option<PathBuf>,
    /// Environment in addition to the variables that every process gets.
    pub env: BTreeMap<String, String>,
    /// Limits of one process.
    pub limits: Limits,
    /// Number of processes: always `min`, and up to `max` while all of them are busy.
    pub instances: Workers,
}

impl Launch {
    /// Checks that the program exists and that its limits can be set.
    ///
    /// # Errors
    /// The mistake, and how to mend it, in words that follow "cell `name`: ".
    pub fn check(&self) -> Result<(), String> {
        let program =
            self.command.first().ok_or("it names no program to run: give it a `command`")?;
        self.check_limits()?;
        if is_path(program) {
            let path = Path::new(program);
            if !path.is_file() {
                return Err(format!("there is no program `{}`", path.display()));
            }
            if !can_run(path) {
                return Err(format!(
                    "`{}` cannot be run: `chmod +x` it, or name its interpreter",
                    path.display()
                ));
            }
            return check_script(path);
        }
        let path = self
            .env
            .get("PATH")
            .map(OsString::from)
            .or_else(|| env::var_os("PATH"))
            .unwrap_or_default();
        let found = env::split_paths(&path).any(|folder| can_run(&folder.join(program)));
        let name = program.display();
        found.then_some(()).ok_or_else(|| {
            format!("there is no program `{name}` in PATH: install it, or write its path")
        })
    }

    fn check_limits(&self) -> Result<(), String> {
        let Some(files) = self.limits.files else { return Ok(()) };
        match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((_, most)) if files > most && !Uid::effective().is_root() => Err(format!(
                "its `limits.files` of {files} is more than the {most} that this body may give: lower it, or raise \
                 `ulimit -Hn`"
            )),
            _ => Ok(()),
        }
    }

    /// Returns the command that starts a process which is to connect to this socket.
    pub(crate) fn command(&self, socket: &Path) -> Result<Command, String> {
        let (program, arguments) = self.command.split_first().ok_or("no program is named")?;
        // The process starts in a folder of its own, so a path relative to the body's folder is
        // made absolute.
        let program = match is_path(program) {
            true => absolute(program)
                .map_err(|error| format!("has no place: {error}"))?
                .into_os_string(),
            false => program.clone(),
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(environment(env::vars_os(), &self.env, socket));
        if let Some(folder) = self.folder.as_deref().filter(|folder| folder.is_dir()) {
            command.current_dir(folder);
        }
        Ok(command)
    }

    /// Returns the name of the program for people.
    pub(crate) fn program(&self) -> String {
        self.command.first().map(|program| program.display().to_string()).unwrap_or_default()
    }
}

/// Checks that the interpreter in a script's first line exists. If it does not, the system only
/// reports that the script itself is missing.
fn check_script(path: &Path) -> Result<(), String> {
    let mut head = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(SCRIPT_HEAD).read_to_end(&mut head));
    // A file that may be run but not read is no script.
    let Some(line) = read.ok().and_then(|_| head.strip_prefix(b"#!")) else { return Ok(()) };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let shown = path.display();
    if line.ends_with(b"\r") {
        return Err(format!(
            "`{shown}` cannot be run: its first line ends with a carriage return; save it with Unix line ends"
        ));
    }
    let interpreter = line.trim_ascii().split(u8::is_ascii_whitespace).next().unwrap_or_default();
    if interpreter.is_empty() || Path::new(OsStr::from_bytes(interpreter)).is_file() {
        return Ok(());
    }
    let interpreter = String::from_utf8_lossy(interpreter);
    Err(format!(
        "`{shown}` cannot be run: its first line names `{}`, which is not there",
        interpreter.escape_debug()
    ))
}

fn is_path(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/')
}

fn can_run(path: &Path) -> bool {
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

/// The data that all processes of one cell share.
pub(crate) struct Plan {
    pub(crate) launch: Launch,
    pub(crate) settings: Settings,
    pub(crate) env: Arc<CellEnv>,
    /// The cell's `concurrency`.
    pub(crate) concurrency: usize,
    /// Name of its processes for people, before their numbers.
    pub(crate) called: &'static str,
    cell: proto::Cell,
    /// The plan that was used before. It is used again if this one does not serve.
    predecessor: Option<Arc<Self>>,
}

impl Plan {
    pub(crate) fn new(settings: &Settings, launch: Launch, spec: &CellSpec, env: &CellEnv) -> Self {
        let config = if spec.config.is_empty() {
            Vec::new()
        } else {
            serde_json::to_vec(&spec.config).unwrap_or_default()
        };
        let cell = proto::Cell {
            name: spec.name.to_string(),
            revision: spec.metadata.revision.clone(),
            config: config.into(),
            concurrency: u32::try_from(spec.policy.concurrency).unwrap_or(u32::MAX),
            timeout_ms: u64::try_from(spec.policy.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let env = Arc::new(env.clone());
        let (settings, concurrency) = (settings.clone(), spec.policy.concurrency);
        Self { launch, settings, env, concurrency, called: "process", cell, predecessor: None }
    }

    /// Returns the same plan, whose processes have this name.
    pub(crate) fn called(self, called: &'static str) -> Self {
        Self { called, ..self }
    }

    /// Returns a plan for the same cell, in processes of this launch.
    pub(crate) fn succeeded(self: &Arc<Self>, launch: Launch) -> Self {
        Self {
            launch,
            settings: self.settings.clone(),
            env: self.env.clone(),
            concurrency: self.concurrency,
            called: "process",
            cell: self.cell.clone(),
            predecessor: Some(self.clone()),
        }
    }

    /// Returns the limit of the time for a call of the cell.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.cell.timeout_ms)
    }

    /// Returns the plan that was used before; this plan if there is none.
    pub(crate) fn predecessor(self: &Arc<Self>) -> Arc<Self> {
        self.predecessor.as_ref().unwrap_or(self).clone()
    }

    /// Returns the welcome for the process of this number.
    pub(crate) fn welcome(&self, number: u32) -> proto::Welcome {
        let settings = &self.settings;
        proto::Welcome {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            body: self.env.body.to_string(),
            namespace: settings.namespace.to_string(),
            cells: vec![self.cell.clone()],
            frame_bytes_max: u32::try_from(settings.frame_bytes_max).unwrap_or(u32::MAX),
            credit: settings.credit,
            ping_ms: u32::try_from(settings.times.ping.as_millis()).unwrap_or(u32::MAX),
            instance: number,
            in_flight_max: settings.requests_max,
            notes_max: u32::try_from(SPAN_ENTRIES_MAX).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
