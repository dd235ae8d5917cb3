//! Specs and code that change while a body runs them.

mod traces;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use model::folder_of;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use spec::Specs;
use tokio::sync::mpsc;

use self::traces::Traces;
use crate::{code::Code, output, specs};

/// Time without events after which a file counts as complete: an editor writes it in several steps.
const QUIET: Duration = Duration::from_millis(30);
/// Time after which a file is read even if it still changes.
const PATIENCE: Duration = Duration::from_millis(500);
/// Time between two comparisons of the times and sizes of files, because some file systems report
/// nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Watches the folders of specs, of their schemas and of their cells' code. It watches folders
/// rather than files: editors replace a file by a new one, and a mounted ConfigMap replaces a link
/// to a folder.
pub(crate) struct Watch {
    paths: specs::Paths,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    /// The files of the cells' code.
    code: BTreeSet<PathBuf>,
    /// Times and sizes of all these, from before the files were last read.
    traces: Traces,
    /// Events of the system. The change itself is found by a comparison.
    happened: mpsc::Receiver<Notice>,
    /// Mistakes in the specs now, as they were reported.
    wrong: Option<String>,
}

/// Event of the system about the folders.
#[derive(Clone, Copy, Debug)]
enum Notice {
    /// A file was written, replaced or removed.
    Written,
    /// More events than the system could queue. Perhaps only many files were read, by this program
    /// itself.
    Unknown,
}

impl Watch {
    /// Watches the files that these specs were read from. `wrong` holds the mistakes of other
    /// specs, which are reported.
    ///
    /// # Errors
    /// The system provides no watch.
    pub(crate) fn new(
        paths: specs::Paths,
        specs: &Specs,
        wrong: Option<&spec::Error>,
    ) -> notify::Result<Self> {
        let (report, happened) = mpsc::channel(1);
        // What was written after these specs were read, and before they are watched, is found by a
        // first look.
        _ = report.try_send(Notice::Written);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let notice = match event {
                // Who only reads changes nothing: that may be this program itself.
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => return,
                Ok(event) if !event.need_rescan() => Notice::Written,
                Ok(_) | Err(_) => Notice::Unknown,
            };
            // One notice is enough, however much has happened.
            _ = report.try_send(notice);
        })?;
        let mut watch = Self {
            paths,
            watcher,
            watched: BTreeSet::new(),
            code: BTreeSet::new(),
            traces: Traces::default(),
            happened,
            wrong: None,
        };
        watch.follow(specs);
        if let Some(wrong) = wrong {
            watch.report(wrong);
        }
        Ok(watch)
    }

    /// Waits for the next change of a file, and returns the specs. Mistakes are reported, and it
    /// waits until they are corrected.
    pub(crate) async fn next(&mut self) -> Specs {
        loop {
            self.rest().await;
            match self.paths.load() {
                Ok(mut specs) => {
                    if self.wrong.take().is_some() {
                        output::report("the specs are in order again");
                    }
                    // What came into a new folder before it was watched is found by looking again.
                    while self.follow(&specs) {
                        match self.paths.load() {
                            Ok(newer) => specs = newer,
                            Err(_) => break,
                        }
                    }
                    return specs;
                }
                Err(error) => {
                    self.report(&error);
                    self.follow_more();
                }
            }
        }
    }

    /// Waits until a file was written and no more events come.
    async fn rest(&mut self) {
        loop {
            match tokio::time::timeout(LOOK_AGAIN, self.happened.recv()).await {
                Ok(Some(Notice::Written)) => break,
                Ok(Some(Notice::Unknown)) | Err(_) if self.traces == self.traces_now() => {}
                Ok(Some(Notice::Unknown)) | Err(_) => break,
                // The watcher is ours: it never ends before this.
                Ok(None) => std::future::pending().await,
            }
        }
        let settled = async {
            while let Ok(Some(_)) = tokio::time::timeout(QUIET, self.happened.recv()).await {}
        };
        // Restless for so long: what is there is read.
        let _ = tokio::time::timeout(PATIENCE, settled).await;
        // Before the files are read: what changes meanwhile is a change.
        self.traces = self.traces_now();
    }

    fn traces_now(&self) -> Traces {
        Traces::of(&self.watched, &self.code)
    }

    /// Reports the mistakes, once.
    fn report(&mut self, error: &spec::Error) {
        let text = match error {
            spec::Error::Mistakes(mistakes) => {
                format!("{}\n\n{}", specs::report(mistakes), specs::found(mistakes))
            }
            spec::Error::Paths(_) => error.to_string(),
        };
        if self.wrong.as_ref() != Some(&text) {
            output::report(format_args!("{text}; what runs goes on"));
        }
        self.wrong = Some(text);
    }

    /// Watches new folders too: a mistake in a new folder is corrected there.
    fn follow_more(&mut self) {
        for folder in spec_folders(&self.paths) {
            if !self.watched.contains(&folder)
                && self.watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok()
            {
                self.watched.insert(folder);
            }
        }
    }

    /// Watches the folders of these specs and of their code, and no others. Returns whether there
    /// is one that was not watched before.
    fn follow(&mut self, specs: &Specs) -> bool {
        let code: Vec<Code> = specs.cells().filter_map(|spec| Code::of(spec)?.ok()).collect();
        let mut wanted = spec_folders(&self.paths);
        wanted.extend(code.iter().flat_map(Code::folders).filter(|folder| folder.is_dir()));
        for gone in self.watched.difference(&wanted) {
            // A folder that has been removed is watched no more anyway.
            let _ = self.watcher.unwatch(gone);
        }
        let mut watched: BTreeSet<PathBuf> = self.watched.intersection(&wanted).cloned().collect();
        for folder in wanted.difference(&self.watched) {
            match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => _ = watched.insert(folder.clone()),
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), "not watched, looked at every 5 s: {error}");
                }
            }
        }
        let grown = watched.difference(&self.watched).next().is_some();
        self.watched = watched;
        self.code = code.iter().flat_map(Code::files).collect();
        grown
    }
}

/// Returns the folders from which specs and their schemas are read.
fn spec_folders(paths: &specs::Paths) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for path in &paths.places() {
        let folder = if path.is_dir() { path.as_path() } else { folder_of(path) };
        folders.extend([folder.to_owned(), folder.join("cells"), folder.join("flows")]);
        let around = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let schemas =
            around.ancestors().map(|above| above.join("schemas")).find(|schemas| schemas.is_dir());
        schemas.into_iter().for_each(|schemas| below(&schemas, &mut folders, 0));
    }
    if let Some(schemas) = &paths.schemas {
        below(schemas, &mut folders, 0);
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

/// Adds a folder and all folders in it. Schemas are `domain/vN/Type.json`, three levels deep.
fn below(folder: &Path, folders: &mut BTreeSet<PathBuf>, depth: usize) {
    folders.insert(folder.to_owned());
    let Ok(entries) = folder.read_dir() else { return };
    for path in entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && depth < 3)
    {
        below(&path, folders, depth + 1);
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
