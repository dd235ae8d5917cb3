//! Specs and code that change while a body runs them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use spec::Specs;
use tokio::sync::mpsc;

use crate::{code::Code, output, specs};

/// An editor writes a file in several steps; what is read after so long a silence is whole.
const QUIET: Duration = Duration::from_millis(30);
/// A file that never comes to rest is read all the same.
const PATIENCE: Duration = Duration::from_millis(500);
/// Some file systems tell nothing: a look now and then finds what they hold back.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Watches the folders of specs, of their schemas and of their cells' code. Folders rather than files:
/// editors put a new file in the old one's place, and a mounted ConfigMap swaps a link to a folder.
pub(crate) struct Watch {
    paths: specs::Paths,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    /// Something happened; what it was is found by looking.
    happened: mpsc::Receiver<()>,
    /// What is wrong with the specs now, as it was told.
    wrong: Option<String>,
}

impl Watch {
    /// Watches what these specs were read from; what was wrong with others is told.
    ///
    /// # Errors
    /// When the system gives no watch.
    pub(crate) fn new(paths: specs::Paths, specs: &Specs, wrong: Option<&spec::Error>) -> notify::Result<Self> {
        let (tell, happened) = mpsc::channel(1);
        // One word is enough, however much has happened.
        let watcher = notify::recommended_watcher(move |_| _ = tell.try_send(()))?;
        let mut watch = Self { paths, watcher, watched: BTreeSet::new(), happened, wrong: None };
        watch.follow(specs);
        if let Some(wrong) = wrong {
            watch.tell(wrong);
        }
        Ok(watch)
    }

    /// The specs after the next change of a file. Mistakes are told, and waited out.
    pub(crate) async fn next(&mut self) -> Specs {
        loop {
            self.rest().await;
            match self.paths.load() {
                Ok(mut specs) => {
                    if self.wrong.take().is_some() {
                        output::tell("the specs are in order again");
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
                    self.tell(&error);
                    self.follow_more();
                }
            }
        }
    }

    /// Waits until something has happened and come to rest, or it is time to look anyway.
    async fn rest(&mut self) {
        if tokio::time::timeout(LOOK_AGAIN, self.happened.recv()).await.is_err() {
            return;
        }
        let settled = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, self.happened.recv()).await {} };
        // Restless for so long: what is there is read.
        let _ = tokio::time::timeout(PATIENCE, settled).await;
    }

    /// Says once what is wrong.
    fn tell(&mut self, error: &spec::Error) {
        let text = match error {
            spec::Error::Mistakes(mistakes) => format!("{}\n\n{}", specs::report(mistakes), specs::found(mistakes)),
            spec::Error::Paths(_) => error.to_string(),
        };
        if self.wrong.as_ref() != Some(&text) {
            output::tell(format_args!("{text}; what runs goes on"));
        }
        self.wrong = Some(text);
    }

    /// Watches also what has come since: a mistake in a new folder is mended there.
    fn follow_more(&mut self) {
        for folder in folders(&self.paths, &Specs::default()) {
            if !self.watched.contains(&folder) && self.watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                self.watched.insert(folder);
            }
        }
    }

    /// Watches the folders that these specs and their code stand in, and no others.
    /// Whether there is one that was not watched before.
    fn follow(&mut self, specs: &Specs) -> bool {
        let wanted = folders(&self.paths, specs);
        for gone in self.watched.difference(&wanted) {
            // A folder that has been removed is watched no more anyway.
            let _ = self.watcher.unwatch(gone);
        }
        let mut watched: BTreeSet<PathBuf> = self.watched.intersection(&wanted).cloned().collect();
        for folder in wanted.difference(&self.watched) {
            match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => _ = watched.insert(folder.clone()),
                Err(error) => tracing::warn!(folder = %folder.display(), "not watched, looked at every 5 s: {error}"),
            }
        }
        let grown = watched.difference(&self.watched).next().is_some();
        self.watched = watched;
        grown
    }
}

fn folders(paths: &specs::Paths, specs: &Specs) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for path in &paths.places() {
        let folder = if path.is_dir() { path.as_path() } else { parent(path) };
        folders.extend([folder.to_owned(), folder.join("cells"), folder.join("flows")]);
        let around = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let schemas = around.ancestors().map(|above| above.join("schemas")).find(|schemas| schemas.is_dir());
        schemas.into_iter().for_each(|schemas| below(&schemas, &mut folders, 0));
    }
    if let Some(schemas) = &paths.schemas {
        below(schemas, &mut folders, 0);
    }
    for code in specs.cells().filter_map(|spec| Code::of(spec)?.ok()) {
        folders.extend(code.folders());
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

/// A folder and all in it; schemas are `domain/vN/Type.json`, three deep.
fn below(folder: &Path, folders: &mut BTreeSet<PathBuf>, depth: usize) {
    folders.insert(folder.to_owned());
    let Ok(entries) = folder.read_dir() else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir() && depth < 3) {
        below(&path, folders, depth + 1);
    }
}

fn parent(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
