//! Dart cells as programs: found Dart, compiled cells, and the SDK that is built into this program.
//!
//! [`Builder::prepare`] gives the command that starts a cell. It compiles ahead of time (a start of 5 ms and 8 MB
//! instead of a second and 140 MB) and keeps what it has compiled by the content of all that went into it, so that a
//! second start, a second body and a restart compile nothing. `package:cbs` is always the SDK of this program: the two
//! ends of the sidecar protocol cannot drift apart.
//!
//! ```no_run
//! # async fn run() -> Result<(), host_sidecar::dart::Error> {
//! use host_sidecar::dart::Builder;
//!
//! let builder = Builder::new(Builder::default_cache()?);
//! let ready = builder.prepare("cells/io_print_greeting/bin/main.dart".as_ref()).await?;
//! assert!(ready.compiled);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! - `find`: the Dart of this machine
//! - `sdk`: the SDK that is built in, as a folder
//! - `package`: a cell's package, and where its imports lead
//! - `sources`: all that a program is made of, as one hash
//! - `cache`: what was compiled: bounded, shared by bodies
//! - `compile`: the compiler, with a time limit

mod cache;
mod compile;
mod error;
mod find;
#[cfg(test)]
mod find_tests;
mod package;
mod sdk;
mod sources;
#[cfg(test)]
mod tests;
mod uri;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use self::{cache::Cache, compile::Refusal, package::Package};
pub use self::{
    error::Error,
    find::{Dart, find},
};

/// A cell of some hundred lines takes a second and a half; on a small and busy machine, ten times that.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(120);
/// How long a body waits for others that compile. They have the same limit, and several may be ahead.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// How often a source may change under the compiler before that is an error.
const ATTEMPTS: usize = 3;
/// What is compiled: it hands on the source's `main`. The compiler of a source within a package would first see to the
/// package's dependencies, and wait half a minute for a registry that may be out of reach.
const ENTRY: &str = "main.dart";

/// How to start a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The program and its arguments, never empty. A program of the cache: it may be dropped from there once nobody
    /// has asked for it for a while, so ask before every start.
    pub command: Vec<OsString>,
    /// Whether it is compiled ahead of time; else Dart runs its source.
    pub compiled: bool,
}

/// Makes programs of Dart cells, and remembers them in a folder that any number of bodies may share.
#[derive(Debug)]
pub struct Builder {
    work: Arc<Work>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stops: DropGuard,
}

/// What a compilation needs, also when nobody waits for it any longer.
#[derive(Debug)]
struct Work {
    folder: PathBuf,
    dart: Option<Dart>,
    time_max: Duration,
}

impl Builder {
    /// A builder that keeps what it compiles in this folder, which is made when it is needed.
    #[must_use]
    pub fn new(cache: PathBuf) -> Self {
        Self::of(Work { folder: cache, dart: None, time_max: COMPILE_TIME_MAX })
    }

    /// The same with this Dart, instead of the one that [`find`] finds.
    #[must_use]
    pub fn with_dart(self, dart: Dart) -> Self {
        let (folder, time_max) = (self.work.folder.clone(), self.work.time_max);
        Self::of(Work { folder, dart: Some(dart), time_max })
    }

    /// The same with another limit for one run of the compiler; two minutes unless given.
    #[must_use]
    pub fn with_time_limit(self, time_max: Duration) -> Self {
        let (folder, dart) = (self.work.folder.clone(), self.work.dart.clone());
        Self::of(Work { folder, dart, time_max })
    }

    fn of(work: Work) -> Self {
        let stop = CancellationToken::new();
        let stops = stop.clone().drop_guard();
        Self { work: Arc::new(work), tasks: TaskTracker::new(), stop, _stops: stops }
    }

    /// `dart-cells` in the per-user tools cache: `$CBS_TOOLS`, else `cbs/tools` in the user's cache folder.
    ///
    /// # Errors
    /// [`Error::NoCache`] where the environment names no such folder.
    pub fn default_cache() -> Result<PathBuf, Error> {
        find::tools(|name| env::var_os(name)).map(|tools| tools.join("dart-cells")).ok_or(Error::NoCache)
    }

    /// Whether there is a Dart to compile with.
    ///
    /// # Errors
    /// What to install.
    pub fn check(&self) -> Result<(), Error> {
        self.work.dart().map(drop)
    }

    /// The command that starts the cell with this source, a file with a `main`. Compiles it unless that has been done.
    ///
    /// Dropping the future does not stop the compiler, which has a limit of its own: whoever asks again later finds
    /// its work done, however slow the machine. Dropping the builder stops it.
    ///
    /// # Errors
    /// [`Error`]; what the compiler says about the source is in it, with its places. Must be called within a tokio
    /// runtime.
    pub async fn prepare(&self, source: &Path) -> Result<Ready, Error> {
        let (work, stop, source) = (self.work.clone(), self.stop.clone(), source.to_path_buf());
        let task = self.tasks.spawn(async move {
            tokio::select! {
                ready = work.prepare(&source) => ready,
                () = stop.cancelled() => Err(Error::Stopped),
            }
        });
        task.await.map_err(|_| Error::Stopped)?
    }
}

impl Work {
    fn dart(&self) -> Result<Dart, Error> {
        self.dart.clone().map_or_else(find, Ok)
    }

    async fn prepare(self: &Arc<Self>, source: &Path) -> Result<Ready, Error> {
        for _ in 0..ATTEMPTS {
            let before = self.look(source).await?;
            if let Some(ready) = before.cache.get(&before.key, &before.name) {
                return Ok(ready);
            }
            let _lock = before.cache.lock(&before.key, WAIT_MAX).await?;
            // Whoever held the lock may have compiled just this.
            if let Some(ready) = before.cache.get(&before.key, &before.name) {
                return Ok(ready);
            }
            let made = self.make(&before).await;
            // Somebody may have saved a file meanwhile: what was compiled is then not what the key says.
            if self.look(source).await?.key == before.key {
                return made?.keep(&before);
            }
            tracing::debug!(source = %source.display(), "the source changed while it was compiled: compiling it again");
        }
        Err(Error::Restless(source.to_path_buf()))
    }

    /// Reads all that goes into the program. A thousand small files at the most, but never on the runtime's threads.
    async fn look(self: &Arc<Self>, source: &Path) -> Result<Plan, Error> {
        let (work, source) = (self.clone(), source.to_path_buf());
        let reading = tokio::task::spawn_blocking(move || {
            let source = package::source(&source)?;
            let dart = work.dart()?;
            let cache = Cache::open(&work.folder)?;
            let sdk = sdk::extract(&cache)?;
            let package = Package::of(&source, &sdk)?;
            let key = sources::fingerprint(&dart, &source, &package)?;
            let name = package.program_name(&source);
            Ok(Plan { dart, source, cache, package, key, name })
        });
        reading.await.map_err(|_| Error::Stopped)?
    }

    async fn make(&self, plan: &Plan) -> Result<Made, Error> {
        let folder = plan.cache.work_folder()?;
        plan.cache.write(&folder.path().join(cache::PACKAGES), plan.package.config().as_bytes())?;
        let entry = folder.path().join(ENTRY);
        plan.cache.write(&entry, format!("export '{}' show main;\n", uri::file(&plan.source)).as_bytes())?;
        let program = folder.path().join(&plan.name);
        match compile::compile(&plan.dart, &entry, &program, self.time_max).await {
            Ok(()) => Ok(Made { folder, compiled: true }),
            Err(Refusal::Mistakes(output)) => Err(plan.package.explain(&plan.source, output)),
            Err(Refusal::TooSlow) => Err(Error::Slow { file: plan.source.clone(), limit: self.time_max }),
            Err(Refusal::Impossible(reason)) => {
                let source = plan.source.display();
                tracing::warn!(%source, %reason, "Dart compiles nothing here: running the source, which starts slowly");
                Ok(Made { folder, compiled: false })
            }
        }
    }
}

/// A cell as it was looked at.
struct Plan {
    dart: Dart,
    source: PathBuf,
    cache: Cache,
    package: Package,
    key: String,
    /// The file name of the program, for people who look at processes.
    name: String,
}

/// A folder with a program, or with what Dart needs to run the source; not yet in the cache.
struct Made {
    folder: tempfile::TempDir,
    compiled: bool,
}

impl Made {
    fn keep(self, plan: &Plan) -> Result<Ready, Error> {
        let folder = plan.cache.replace(self.folder, &plan.key)?;
        plan.cache.trim(&plan.key);
        if self.compiled {
            return Ok(Ready { command: vec![folder.join(&plan.name).into()], compiled: true });
        }
        let mut packages = OsString::from("--packages=");
        packages.push(folder.join(cache::PACKAGES));
        Ok(Ready {
            command: vec![plan.dart.path.clone().into(), packages, plan.source.clone().into()],
            compiled: false,
        })
    }
}
