//! Dart cells as programs: the Dart that is found, compiled cells, and the SDK that is built into
//! this program.
//!
//! [`Builder::prepare`] returns the command that starts a cell. It compiles ahead of time (a start
//! takes 5 ms and 8 MB instead of a second and 140 MB). It keeps each program under a hash of all
//! its inputs, so that a second start, a second body and a restart compile nothing. `package:cbs`
//! is always the SDK of this program: the two ends of the sidecar protocol cannot drift apart.
//!
//! [`Builder::prepare_soon`] is for a person who has just saved a file: a cell that is not compiled
//! yet serves from its kernel first, and from its program later. The kernel of a small cell takes
//! 0.4 s to make and its program 1.2 s, on a busy machine three. The time from a save to the first
//! answer is 0.4 to 0.6 s, on a busy machine up to 2.3 s.
//!
//! ```no_run
//! # async fn run() -> Result<(), host_sidecar::dart::Error> {
//! use host_sidecar::dart::Builder;
//!
//! let builder = Builder::default();
//! let ready = builder.prepare("cells/io_print_greeting/bin/main.dart".as_ref()).await?;
//! assert_eq!(ready.form, host_sidecar::dart::Form::Program);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! - `find`: the Dart of this machine
//! - `sdk`: the built-in SDK, as a folder
//! - `package`: a cell's package, and the targets of its imports
//! - `sources`: one hash over all files that a program is made of
//! - `needs`: what a cell needs on another machine
//! - `cache`: compiled programs and kernels: bounded, shared by bodies
//! - `compile`: the compiler, with a time limit
//! - `work`: from a source to its command; `later`: programs that nobody waits for

mod cache;
mod compile;
mod error;
mod find;
#[cfg(test)]
mod find_tests;
mod later;
mod needs;
mod package;
mod sdk;
mod sources;
#[cfg(test)]
mod tests;
mod uri;
mod work;

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

pub use self::{
    error::Error,
    find::{Dart, find},
    later::{Later, Soon},
    needs::{DartDependencies, Dependency, needs},
};
use self::{later::Builds, work::Work};

/// Limit of the time for one run of the compiler. A cell of some hundred lines takes a second and a
/// half; on a small and busy machine, ten times that.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(120);

/// Command that starts a cell, and its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The program and its arguments, never empty. A program of the cache may be removed from it if
    /// nobody has asked for it for a while, so prepare the cell before every start.
    pub command: Vec<OsString>,
    /// The form that the command runs.
    pub form: Form,
}

/// Kind of file that a cell is started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Compiled ahead of time: small, and fast from the first call.
    Program,
    /// Dart's own form of a source, which Dart compiles as it runs.
    Kernel,
    /// The source, where Dart cannot compile: it starts slowly.
    Source,
}

/// Builder of programs from Dart cells. It keeps them in a folder that any number of bodies may
/// share.
#[derive(Debug)]
pub struct Builder {
    work: Arc<Work>,
    builds: Builds,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stops: DropGuard,
}

impl Default for Builder {
    /// Returns a builder whose folder is `dart-cells` in the per-user tools cache: `$CBS_TOOLS`,
    /// else `cbs/tools` in the user's cache folder. If the environment names no such folder,
    /// [`Self::check`] returns an error, and nothing is compiled.
    fn default() -> Self {
        let tools = find::tools(|name| env::var_os(name));
        Self::of(Work {
            folder: tools.map(|tools| tools.join("dart-cells")),
            dart: None,
            time_max: COMPILE_TIME_MAX,
        })
    }
}

impl Builder {
    /// Returns a builder that keeps its programs in this folder. The folder is made when it is
    /// needed.
    #[must_use]
    pub fn new(cache: PathBuf) -> Self {
        Self::of(Work { folder: Some(cache), dart: None, time_max: COMPILE_TIME_MAX })
    }

    /// Returns the same builder with this Dart, instead of the one that [`find`] finds.
    #[must_use]
    pub fn with_dart(self, dart: Dart) -> Self {
        let folder = self.work.folder.clone();
        let time_max = self.work.time_max;
        Self::of(Work { folder, dart: Some(dart), time_max })
    }

    /// Returns the same builder with another time limit for one run of the compiler. The default is
    /// two minutes.
    #[must_use]
    pub fn with_time_limit(self, time_max: Duration) -> Self {
        let folder = self.work.folder.clone();
        let dart = self.work.dart.clone();
        Self::of(Work { folder, dart, time_max })
    }

    fn of(work: Work) -> Self {
        let stop = CancellationToken::new();
        let stops = stop.clone().drop_guard();
        Self {
            work: Arc::new(work),
            builds: Builds::default(),
            tasks: TaskTracker::new(),
            stop,
            _stops: stops,
        }
    }

    /// Checks that there is a Dart to compile with, and a folder for compiled cells.
    ///
    /// # Errors
    /// The error says what to install, or which variable to set.
    pub fn check(&self) -> Result<(), Error> {
        self.work.folder()?;
        self.work.dart().map(drop)
    }

    /// Returns the command that starts the cell with this source, a file with a `main`. Compiles
    /// the source if that has not been done.
    ///
    /// Dropping the future does not stop the compiler, which has a limit of its own: a later call
    /// finds its result, however slow the machine. Dropping the builder stops it.
    ///
    /// # Errors
    /// [`Error`], which holds the compiler's messages about the source, with their places. Must be
    /// called within a tokio runtime.
    pub async fn prepare(&self, source: &Path) -> Result<Ready, Error> {
        let (work, stop, source) = (self.work.clone(), self.stop.clone(), source.to_path_buf());
        let task = self.tasks.spawn(async move {
            tokio::select! {
                ready = work.program(&source) => ready,
                () = stop.cancelled() => Err(Error::Stopped),
            }
        });
        task.await.map_err(|_| Error::Stopped)?
    }

    /// Returns the form of the cell that can serve soonest. If that is a kernel, its program
    /// follows later. A program that is still being made later from an older text of the same
    /// source is given up.
    ///
    /// # Errors
    /// The errors of [`Self::prepare`].
    pub async fn prepare_soon(&self, source: &Path) -> Result<Soon, Error> {
        let work = self.work.clone();
        let builds = self.builds.clone();
        let stop = self.stop.clone();
        let source = source.to_path_buf();
        let task = self.tasks.spawn(async move {
            tokio::select! {
                soon = later::soon(work, builds, &source) => soon,
                () = stop.cancelled() => Err(Error::Stopped),
            }
        });
        task.await.map_err(|_| Error::Stopped)?
    }
}
