//! Where a body keeps the code that it fetched: a folder of its own, gone with it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cbs::BodyId;
use fleet::ContentHash;

use crate::bundle;

/// A folder of code. What was unpacked stays until the body ends.
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A new folder for this process, and none any more for those that have gone.
    pub(crate) fn new(body: &BodyId) -> io::Result<Self> {
        let above = place().ok_or_else(|| io::Error::other("neither XDG_CACHE_HOME nor HOME is set"))?;
        bundle::private().recursive(true).create(&above)?;
        sweep(&above);
        let folder = above.join(format!("{}.{body}", std::process::id()));
        // An earlier process of this number may have died here.
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        bundle::private().create(&folder)?;
        Ok(Self { folder })
    }

    /// The folder of a bundle; of a spec without one, an empty folder.
    pub(crate) fn code(&self, bundle: Option<ContentHash>) -> PathBuf {
        self.folder.join(bundle.map_or_else(|| "none".to_owned(), |hash| hash.to_string()))
    }

    /// The folder of a spec's schemas.
    pub(crate) fn schemas(&self, spec: ContentHash) -> PathBuf {
        self.folder.join("schemas").join(spec.to_string())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // What is left behind goes with the next body's start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn place() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Some(cache?.join("cbs/bodies"))
}

/// Removes what processes left that do not run any more.
fn sweep(above: &Path) {
    let Ok(entries) = above.read_dir() else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.split_once('.')?.0.parse().ok());
        if pid.is_some_and(|pid| !crate::runfile::runs_still(pid)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
