//! Programs that are made while their kernels serve.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use cbs::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{
    Error, Form, Ready,
    work::{Plan, Work},
};

/// The form of a cell that can serve soonest, and its program later.
#[derive(Debug)]
pub struct Soon {
    /// Command that starts the cell now.
    pub ready: Ready,
    /// The program, if it is still to be made.
    pub later: Option<Later>,
}

/// A program that is made when the future of [`Self::made`] is awaited: after all other such
/// programs of this machine, one at a time, with the time that the machine has left. Dropping it
/// ends the compiler.
pub struct Later(BoxFuture<'static, Result<Ready, Error>>);

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

impl Later {
    /// Makes the program.
    ///
    /// # Errors
    /// [`Error::Superseded`] if the source has changed since; else the errors of
    /// [`super::Builder::prepare`].
    pub async fn made(self) -> Result<Ready, Error> {
        self.0.await
    }
}

/// The programs that are being made later, by source: of each source at most one text.
#[derive(Clone, Debug, Default)]
pub(super) struct Builds(Arc<Mutex<HashMap<PathBuf, Weak<Build>>>>);

/// One text of a source, while any caller wants its program.
#[derive(Debug)]
struct Build {
    key: String,
    superseded: CancellationToken,
}

impl Builds {
    /// Marks this text of a source as the one that is wanted. An older text of it is given up.
    fn want(&self, source: &Path, key: &str) -> Arc<Build> {
        let mut builds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        builds.retain(|_, build| build.strong_count() > 0);
        match builds.get(source).and_then(Weak::upgrade) {
            // Another cell of the same source, or the same cell again.
            Some(build) if build.key == key => return build,
            Some(older) => older.superseded.cancel(),
            None => {}
        }
        let build = Arc::new(Build { key: key.to_owned(), superseded: CancellationToken::new() });
        builds.insert(source.to_path_buf(), Arc::downgrade(&build));
        build
    }
}

pub(super) async fn soon(work: Arc<Work>, builds: Builds, source: &Path) -> Result<Soon, Error> {
    // The build of an older text would slow this one down: it ends first.
    let wanted = |plan: &Plan| drop(builds.want(&plan.source, &plan.key));
    let (ready, plan) = work.soonest(source, wanted).await?;
    if ready.form != Form::Kernel {
        return Ok(Soon { ready, later: None });
    }
    let build = builds.want(&plan.source, &plan.key);
    let later = Later(Box::pin(async move { work.later(&plan, &build.superseded).await }));
    Ok(Soon { ready, later: Some(later) })
}
