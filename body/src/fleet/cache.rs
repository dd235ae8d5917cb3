//! Cache of a body for the code that it fetched: a folder of its own, removed with the body.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use cbs::{BodyId, Bytes};
use fleet::ContentHash;
use nix::unistd::Uid;
use tempfile::TempDir;

use crate::bundle::{self, Bundle};

/// Extension of the lock file that a body holds locked as long as its folder is used.
const LOCK: &str = "lock";
/// Limit of names that are tried for a folder: another body may be removing one of them.
const NAMES_MAX: u64 = 64;

/// A folder of code. Unpacked code stays as long as an instance uses it.
pub(crate) struct Cache {
    folder: Arc<PathBuf>,
    used: Mutex<BTreeMap<ContentHash, Weak<Code>>>,
    /// Counter that makes the name of each unpacked folder unique.
    count: AtomicU64,
    lock: PathBuf,
    /// Locked until the process ends, however it ends.
    _locked: File,
}

/// The unpacked code of a bundle, removed when nobody uses it any more.
pub(crate) struct Code {
    folder: PathBuf,
    /// Its files with their hashes, as they were unpacked; `None` before that.
    files: tokio::sync::Mutex<Option<Files>>,
}

type Files = Vec<(PathBuf, ContentHash)>;

impl Cache {
    /// Makes a new folder for this process, and removes the folders of processes that have ended.
    pub(crate) fn new(body: &BodyId) -> io::Result<Self> {
        let above = folder();
        let named = |error| {
            let folder = above.display();
            io::Error::other(format!(
                "{folder}: {error}; set XDG_CACHE_HOME to a folder that this user may write to"
            ))
        };
        Self::in_folder(&above, body).map_err(named)
    }

    fn in_folder(above: &Path, body: &BodyId) -> io::Result<Self> {
        bundle::private().recursive(true).create(above)?;
        check_own(above)?;
        sweep(above);
        for number in 0..NAMES_MAX {
            let name = format!("{body}.{}-{number}", std::process::id());
            let folder = above.join(&name);
            let lock = above.join(format!("{name}.{LOCK}"));
            let Ok(locked) = File::create_new(&lock) else { continue };
            if locked.try_lock().is_err() || !lock.exists() {
                continue;
            }
            bundle::private().create(&folder)?;
            let used = Mutex::default();
            let count = AtomicU64::new(0);
            return Ok(Self { folder: Arc::new(folder), used, count, lock, _locked: locked });
        }
        Err(io::Error::other("it is full of what others left"))
    }

    /// Returns the code of a bundle. If another instance uses it and its files are unchanged, that
    /// copy is used; else it is fetched. The value that `fetch` returns besides the bytes is kept
    /// until they are on disk.
    pub(crate) async fn code<Kept>(
        &self,
        hash: ContentHash,
        fetch: impl Future<Output = anyhow::Result<(Bytes, Kept)>>,
    ) -> anyhow::Result<Arc<Code>> {
        let mut code = self.used(hash, None);
        let mut files = code.files.lock().await;
        if let Some(known) = files.clone() {
            let folder = code.folder.clone();
            let wrong = tokio::task::spawn_blocking(move || wrong(&folder, &known)).await?;
            let Some(wrong) = wrong else {
                drop(files);
                return Ok(code);
            };
            tracing::warn!(bundle = %hash.short(), "unpacked code was changed, it is unpacked anew: {}", wrong.display());
            drop(files);
            code = self.used(hash, Some(&code));
            files = code.files.lock().await;
        }
        if files.is_none() {
            let (bytes, kept) = fetch.await?;
            let folder = code.folder.clone();
            let unpacking = tokio::task::spawn_blocking(move || {
                Bundle::decode(hash, &bytes)?.unpack(&folder)?;
                seal(&folder).map_err(anyhow::Error::from)
            });
            *files = Some(unpacking.await??);
            drop(kept);
        }
        drop(files);
        Ok(code)
    }

    /// Returns the entry in use for this hash, or a new one if there is none or it is `spoiled`.
    fn used(&self, hash: ContentHash, spoiled: Option<&Arc<Code>>) -> Arc<Code> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let known = used.get(&hash).and_then(Weak::upgrade);
        if let Some(code) =
            known.filter(|code| spoiled.is_none_or(|spoiled| !Arc::ptr_eq(code, spoiled)))
        {
            return code;
        }
        used.retain(|_, code| code.strong_count() > 0);
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let code = Arc::new(Code {
            folder: self.folder.join(format!("{hash}-{number}")),
            files: Default::default(),
        });
        used.insert(hash, Arc::downgrade(&code));
        code
    }

    /// Returns an empty folder, for specs without code.
    pub(crate) fn empty_folder(&self) -> PathBuf {
        self.folder.join("none")
    }

    /// Makes a temporary folder, which is removed when it is dropped.
    pub(crate) fn scratch(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix(".scratch-").tempdir_in(self.folder.as_path())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // What is left behind goes with the next body's start.
        if fs::remove_dir_all(self.folder.as_path()).is_ok() {
            let _ = fs::remove_file(&self.lock);
        }
    }
}

impl Code {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        let folder = std::mem::take(&mut self.folder);
        let remove = move || {
            // What cannot be removed goes with the body's folder.
            let _ = fs::remove_dir_all(folder);
        };
        // Thousands of files take a while: not on a task of the runtime.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// `cbs/bodies` in the user's cache folder; for a user without a home, a folder of its own among
/// the temporary ones.
fn folder() -> PathBuf {
    let variable =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    match cache {
        Some(cache) => cache.join("cbs/bodies"),
        None => std::env::temp_dir().join(format!("cbs-bodies-{}", Uid::current())),
    }
}

/// Checks that an existing folder belongs to this user alone, because code is started from it.
fn check_own(folder: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == Uid::current().as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::other("it is not a folder that this user alone may write to"))
}

/// Makes all files of a folder read-only, and returns their hashes. The folders stay writable,
/// because tools put their own files there.
fn seal(folder: &Path) -> io::Result<Files> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(seal(&entry.path())?);
            continue;
        }
        let mode = entry.metadata()?.permissions().mode() & 0o500;
        fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
        files.push((entry.path(), ContentHash::of(&fs::read(entry.path())?)));
    }
    Ok(files)
}

/// Returns the first file that has changed since it was unpacked.
fn wrong(folder: &Path, files: &Files) -> Option<PathBuf> {
    let is_wrong = |(path, hash): &&(PathBuf, ContentHash)| {
        !fs::read(path).is_ok_and(|it| ContentHash::of(&it) == *hash)
    };
    let wrong = files.iter().find(is_wrong)?;
    Some(wrong.0.strip_prefix(folder).unwrap_or(&wrong.0).to_owned())
}

/// Removes the folders of processes that have ended: the system released their locks.
fn sweep(above: &Path) {
    let Ok(entries) = above.read_dir() else { return };
    for entry in entries.flatten() {
        let lock = entry.path();
        if lock.extension().is_none_or(|extension| extension != LOCK) {
            continue;
        }
        let Ok(file) = File::open(&lock) else { continue };
        let gone = || match fs::remove_dir_all(lock.with_extension("")) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if file.try_lock().is_ok() && gone() {
            let _ = fs::remove_file(&lock);
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
