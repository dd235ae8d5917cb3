//! The steps from a source to its command: read the files, find the program in the cache or compile
//! it, keep it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Dart, Error, Form, Ready,
    cache::{self, Cache},
    compile::{self, Effort, Refusal},
    find, package,
    package::Package,
    sdk, sources, uri,
};

/// Limit of the time to wait for other compilations. They have the same limit, and several may be
/// ahead.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Limit of the time to wait for the turn of a program that nobody waits for: some hundred may be
/// ahead.
const TURN_MAX: Duration = Duration::from_secs(1800);
/// Limit of the attempts when the source changes while it is compiled.
const ATTEMPTS: usize = 3;
/// Name of the file that is compiled: it exports the source's `main`. The compiler of a source
/// within a package would first look at the package's dependencies, and wait half a minute for a
/// registry that may be out of reach.
const ENTRY: &str = "main.dart";

/// Data for compilations, which also go on when nobody waits for them any longer.
#[derive(Debug)]
pub(super) struct Work {
    /// Folder of the cache; `None` if the environment names none.
    pub(super) folder: Option<PathBuf>,
    pub(super) dart: Option<Dart>,
    pub(super) time_max: Duration,
}

impl Work {
    pub(super) fn dart(&self) -> Result<Dart, Error> {
        self.dart.clone().map_or_else(find, Ok)
    }

    pub(super) fn folder(&self) -> Result<&Path, Error> {
        self.folder.as_deref().ok_or(Error::NoCache)
    }

    /// Returns the program of a source; makes it now if there is none.
    pub(super) async fn program(self: &Arc<Self>, source: &Path) -> Result<Ready, Error> {
        for _ in 0..ATTEMPTS {
            let before = self.look(source).await?;
            if let Some(ready) = before.program() {
                return Ok(ready);
            }
            let _lock = before.cache.lock(&before.key, WAIT_MAX).await?;
            // The previous holder of the lock may have compiled just this program.
            if let Some(ready) = before.program() {
                return Ok(ready);
            }
            let made = self.make(&before, Form::Program, Effort::Full).await;
            // A file may have been saved meanwhile. Then the program does not match the key.
            if self.look(source).await?.key == before.key {
                return made?.keep(&before);
            }
            tracing::debug!(source = %source.display(), "the source changed while it was compiled: compiling it again");
        }
        Err(Error::Restless(source.to_path_buf()))
    }

    /// Returns the form of a source that can serve soonest: its program if there is one, else its
    /// kernel, which takes a third of the time to make. Calls `looked` with the plan before
    /// anything is made.
    pub(super) async fn soonest(
        self: &Arc<Self>,
        source: &Path,
        looked: impl Fn(&Plan),
    ) -> Result<(Ready, Plan), Error> {
        for _ in 0..ATTEMPTS {
            let before = self.look(source).await?;
            looked(&before);
            if let Some(ready) = before.program().or_else(|| before.kernel()) {
                return Ok((ready, before));
            }
            let _lock = before.cache.lock(&before.key, WAIT_MAX).await?;
            if let Some(ready) = before.program().or_else(|| before.kernel()) {
                return Ok((ready, before));
            }
            let made = self.make(&before, Form::Kernel, Effort::Full).await;
            if self.look(source).await?.key == before.key {
                return Ok((made?.keep(&before)?, before));
            }
            tracing::debug!(source = %source.display(), "the source changed while it was compiled: compiling it again");
        }
        Err(Error::Restless(source.to_path_buf()))
    }

    /// Makes the program of a source that was looked at, while its kernel serves: after all other
    /// such programs of this machine, one at a time, with the time that the machine has left.
    pub(super) async fn later(
        self: &Arc<Self>,
        plan: &Plan,
        superseded: &CancellationToken,
    ) -> Result<Ready, Error> {
        let making = async {
            let _turn = plan.cache.turn(TURN_MAX).await?;
            if let Some(ready) = plan.program() {
                return Ok(ready);
            }
            let made = self.make(plan, Form::Program, Effort::Spare).await?;
            if self.look(&plan.source).await?.key != plan.key {
                return Err(Error::Superseded);
            }
            // Another body may have been faster, and may run its program: that one stays.
            let _lock = plan.cache.lock(&plan.key, WAIT_MAX).await?;
            plan.program().map_or_else(|| made.keep(plan), Ok)
        };
        // Dropping the future ends the compiler.
        superseded.run_until_cancelled(making).await.unwrap_or(Err(Error::Superseded))
    }

    /// Reads all files of the program: at most a thousand small files, but never on the runtime's
    /// threads.
    async fn look(self: &Arc<Self>, source: &Path) -> Result<Plan, Error> {
        let (work, source) = (self.clone(), source.to_path_buf());
        let reading = tokio::task::spawn_blocking(move || {
            let source = package::source(&source)?;
            let dart = work.dart()?;
            let cache = Cache::open(work.folder()?)?;
            let sdk = sdk::extract(&cache)?;
            let package = Package::of(&source, &sdk)?;
            let key = sources::fingerprint(&dart, &source, &package)?;
            let name = package.program_name(&source);
            Ok(Plan { dart, source, cache, package, key, name })
        });
        reading.await.map_err(|_| Error::Stopped)?
    }

    /// Compiles to this form. If this Dart cannot, and a caller waits for the result, the source is
    /// run instead.
    async fn make(&self, plan: &Plan, form: Form, effort: Effort) -> Result<Made, Error> {
        let folder = plan.cache.work_folder()?;
        plan.cache.write(&folder.path().join(cache::PACKAGES), plan.package.config().as_bytes())?;
        let entry = folder.path().join(ENTRY);
        plan.cache.write(
            &entry,
            format!("export '{}' show main;\n", uri::file(&plan.source)).as_bytes(),
        )?;
        let output = folder.path().join(plan.file(form));
        match compile::compile(&plan.dart, &entry, (form, &output), effort, self.time_max).await {
            Ok(()) => Ok(Made { folder, form }),
            Err(Refusal::Mistakes(output)) => Err(plan.package.explain(&plan.source, output)),
            Err(Refusal::TooSlow) => {
                Err(Error::Slow { file: plan.source.clone(), limit: self.time_max })
            }
            Err(Refusal::Impossible(reason)) if effort == Effort::Spare => Err(Error::source(
                &plan.source,
                format!("Dart makes no program of it here: {reason}"),
            )),
            Err(Refusal::Impossible(reason)) => {
                let source = plan.source.display();
                tracing::warn!(%source, %reason, "Dart compiles nothing here: running the source, which starts slowly");
                Ok(Made { folder, form: Form::Source })
            }
        }
    }
}

/// A cell whose files have been read.
pub(super) struct Plan {
    dart: Dart,
    pub(super) source: PathBuf,
    cache: Cache,
    package: Package,
    /// The hash over all files of the program.
    pub(super) key: String,
    /// The file name of the program, for people who look at processes.
    name: String,
}

impl Plan {
    /// Returns the program, if it has been made.
    fn program(&self) -> Option<Ready> {
        self.found(Form::Program)
    }

    fn kernel(&self) -> Option<Ready> {
        self.found(Form::Kernel)
    }

    fn found(&self, form: Form) -> Option<Ready> {
        let folder = self.cache.folder(&self.place(form))?;
        folder.join(self.file(form)).is_file().then(|| self.ready(form, &folder))
    }

    /// Returns the folder's name in the cache. A kernel has a folder of its own, because a program
    /// that comes later is moved in as a whole.
    fn place(&self, form: Form) -> String {
        match form {
            Form::Program | Form::Source => self.key.clone(),
            Form::Kernel => format!("{}-kernel", self.key),
        }
    }

    fn file(&self, form: Form) -> String {
        match form {
            Form::Program | Form::Source => self.name.clone(),
            Form::Kernel => format!("{}.dill", self.name),
        }
    }

    fn ready(&self, form: Form, folder: &Path) -> Ready {
        let file = folder.join(self.file(form));
        let command = match form {
            Form::Program => vec![file.into()],
            Form::Kernel => vec![self.dart.path.clone().into(), file.into()],
            Form::Source => {
                let mut packages = OsString::from("--packages=");
                packages.push(folder.join(cache::PACKAGES));
                vec![self.dart.path.clone().into(), packages, self.source.clone().into()]
            }
        };
        Ready { command, form }
    }
}

/// A folder with a program or a kernel, or with the files that Dart needs to run the source; not
/// yet in the cache.
struct Made {
    folder: tempfile::TempDir,
    form: Form,
}

impl Made {
    fn keep(self, plan: &Plan) -> Result<Ready, Error> {
        let place = plan.place(self.form);
        let folder = plan.cache.replace(self.folder, &place)?;
        plan.cache.trim(&place);
        Ok(plan.ready(self.form, &folder))
    }
}
