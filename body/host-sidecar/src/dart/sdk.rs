//! `package:cbs` as it was when this program was built.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{Error, cache::Cache, find, package};

/// The files of the package: names relative to its root, and texts; sorted.
pub(super) const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk_dart.rs"));

/// Returns the oldest Dart that the SDK can be used with: major and minor.
pub(super) fn version_min() -> (u32, u32) {
    let pubspec =
        FILES.iter().find(|(name, _)| *name == package::PUBSPEC).map_or("", |(_, text)| text);
    package::language_version(pubspec).map_or((3, 0), |version| find::language(&version))
}

/// Returns one hash over all files.
pub(super) fn fingerprint() -> &'static str {
    static FINGERPRINT: OnceLock<String> = OnceLock::new();
    FINGERPRINT.get_or_init(|| {
        let mut hash = Sha256::new();
        for (name, text) in FILES {
            hash.update(format!("{name}\0{}\0{text}", text.len()));
        }
        format!("{:x}", hash.finalize())
    })
}

/// Returns the SDK as a folder of the cache. Its files are compared with the built-in ones, because
/// a program that cleans caches may have removed a file.
pub(super) fn extract(cache: &Cache) -> Result<PathBuf, Error> {
    let name = format!("sdk-{}", fingerprint().get(..16).unwrap_or_default());
    let whole = || cache.folder(&name).filter(|folder| is_whole(folder));
    if let Some(folder) = whole() {
        return Ok(folder);
    }
    let written = written(cache)?;
    cache.put(written, &name).or_else(|_| match whole() {
        // Another body was faster, and may be using it by now.
        Some(folder) => Ok(folder),
        None => cache.replace(self::written(cache)?, &name),
    })
}

fn written(cache: &Cache) -> Result<TempDir, Error> {
    let work = cache.work_folder()?;
    for (name, text) in FILES {
        cache.write(&work.path().join(name), text.as_bytes())?;
    }
    Ok(work)
}

fn is_whole(folder: &Path) -> bool {
    FILES
        .iter()
        .all(|(name, text)| fs::read(folder.join(name)).is_ok_and(|found| found == text.as_bytes()))
}
