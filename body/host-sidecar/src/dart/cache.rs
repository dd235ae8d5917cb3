//! The cache of compiled cells: a bounded folder that any number of bodies share.
//!
//! Every entry is a folder that is moved there whole, by a rename: `<key>/` with a program and its
//! package configuration, `<key>-kernel/` with a kernel, `sdk-<hash>/`. Folders whose names begin
//! with a dot are being made or removed. Those that a killed body leaves are removed later.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::Error;

/// The package configuration of a program, from its folder.
pub(super) const PACKAGES: &str = ".dart_tool/package_config.json";
/// Number of compilations at once on this machine, whatever the number of bodies: each takes a core
/// and 150 MB.
const LOCKS: u8 = 2;
/// Time between two attempts to take a lock. Compiling takes a second, an attempt takes a
/// microsecond.
const ASK_EVERY: Duration = Duration::from_millis(25);
const LIMITS: Limits = Limits { entries: 100, bytes: 1 << 30, rest: Duration::from_secs(60) };
/// Age at which a folder that is still being made counts as abandoned.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Limits of a cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Number of folders.
    pub(super) entries: usize,
    /// Number of bytes of all files.
    pub(super) bytes: u64,
    /// Time for which a used folder stays: its cell is about to be started.
    pub(super) rest: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Makes the folder if it is missing, for this user alone: programs are run from it.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.and_then(|()| fs::canonicalize(folder))
            .map(|folder| Self { folder })
            .map_err(|error| Error::files("make the folder", folder, &error))
    }

    /// Returns the folder of this name, and marks it as used now.
    pub(super) fn folder(&self, name: &str) -> Option<PathBuf> {
        let folder = self.folder.join(name);
        // A folder of another user, which this one may only read, is fine. It only counts as
        // unused.
        File::open(&folder).ok().map(|file| _ = file.set_modified(SystemTime::now()))?;
        Some(folder)
    }

    /// Takes the lock to compile the source with this key. It is held until the file is dropped or
    /// this process ends.
    pub(super) async fn lock(&self, key: &str, wait_max: Duration) -> Result<File, Error> {
        let number = key.bytes().last().unwrap_or_default() % LOCKS;
        self.locked(&format!(".lock-{number}"), wait_max).await
    }

    /// Takes the lock to compile a program that nobody waits for. There is one on this machine. It
    /// is held as that of [`Self::lock`] is.
    pub(super) async fn turn(&self, wait_max: Duration) -> Result<File, Error> {
        self.locked(".lock-later", wait_max).await
    }

    async fn locked(&self, name: &str, wait_max: Duration) -> Result<File, Error> {
        let path = self.folder.join(name);
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|error| Error::files("write", &path, &error))?;
        let until = Instant::now() + wait_max;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(ASK_EVERY).await,
                Err(error) => return Err(Error::files("lock", &path, &error)),
            }
        }
    }

    /// Makes a folder to work in. It is removed unless it is put into the cache.
    pub(super) fn work_folder(&self) -> Result<TempDir, Error> {
        let made = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.folder);
        made.map_err(|error| Error::files("make a folder in", &self.folder, &error))
    }

    pub(super) fn write(&self, file: &Path, bytes: &[u8]) -> Result<(), Error> {
        let folder = file.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(file, bytes))
            .map_err(|error| Error::files("write", file, &error))
    }

    /// Moves a made folder into place in one step. A folder of that name is left as it is, and is
    /// an error.
    pub(super) fn put(&self, made: TempDir, name: &str) -> Result<PathBuf, Error> {
        let place = self.folder.join(name);
        fs::rename(made.path(), &place).map_err(|error| Error::files("write", &place, &error))?;
        // It has been moved, so there is nothing to remove at its old place.
        _ = made.keep();
        Ok(place)
    }

    /// Moves a made folder into place, and removes an older one of that name first.
    pub(super) fn replace(&self, made: TempDir, name: &str) -> Result<PathBuf, Error> {
        self.remove(&self.folder.join(name));
        self.put(made, name)
    }

    /// Removes the folders that have not been used for the longest time, beyond the limits. Never
    /// removes `keep`.
    pub(super) fn trim(&self, keep: &str) {
        self.trim_to(keep, LIMITS);
    }

    pub(super) fn trim_to(&self, keep: &str, limits: Limits) {
        let now = SystemTime::now();
        let age = |used: SystemTime| now.duration_since(used).unwrap_or_default();
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut kept = Vec::new();
        for entry in entries.flatten() {
            let Ok(used) = entry.metadata().and_then(|found| found.modified()) else { continue };
            let path = entry.path();
            let name = entry.file_name();
            if !path.is_dir() {
                continue;
            }
            if !name.to_string_lossy().starts_with('.') {
                kept.push((used, name != keep, path));
            } else if age(used) > ABANDONED {
                _ = fs::remove_dir_all(path);
            }
        }
        kept.sort_by_key(|(used, other, _)| (*other, age(*used)));
        let mut bytes = 0;
        for (index, (used, other, path)) in kept.iter().enumerate() {
            bytes += size(path);
            if *other
                && (index >= limits.entries || bytes > limits.bytes)
                && age(*used) >= limits.rest
            {
                tracing::debug!(folder = %path.display(), "dropping a compiled Dart cell that nobody has used lately");
                self.remove(path);
            }
        }
    }

    /// Removes a folder in one step: nobody finds half of it.
    fn remove(&self, folder: &Path) {
        if let Ok(gone) = self.work_folder() {
            _ = fs::rename(folder, gone.path().join("gone"));
        }
    }
}

fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
