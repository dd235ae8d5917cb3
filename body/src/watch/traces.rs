//! Times and sizes of files: a cheap check whether any of them may have changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Endings of the files that hold specs and schemas.
const SPEC_ENDINGS: &[&str] = &["yaml", "yml", "json"];

/// Times and sizes of some files and folders at one moment. No file is opened, and files that are
/// neither specs nor code are not examined.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Traces(BTreeMap<PathBuf, Option<Trace>>);

/// Properties that change when a file is written or replaced, or when a folder gets or loses an
/// entry.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
}

impl Traces {
    /// Takes the traces of these folders, of the specs in them, and of these files.
    pub(super) fn of(folders: &BTreeSet<PathBuf>, files: &BTreeSet<PathBuf>) -> Self {
        let specs = folders.iter().flat_map(|folder| specs_in(folder));
        let all = folders.iter().chain(files).cloned().chain(specs);
        Self(all.map(|path| (path.clone(), trace(&path))).collect())
    }
}

fn specs_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().filter_map(Result::ok);
    let is_spec = |path: &PathBuf| {
        path.extension().is_some_and(|ending| SPEC_ENDINGS.iter().any(|it| ending == *it))
    };
    entries.map(|entry| entry.path()).filter(is_spec)
}

/// Takes the trace of one path. Links are followed. Returns `None` if there is no file.
fn trace(path: &Path) -> Option<Trace> {
    let found = fs::metadata(path).ok()?;
    Some(Trace { inode: found.ino(), size: found.len(), modified: found.modified().ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(folder: &Path, files: &[&str]) -> Traces {
        Traces::of(
            &BTreeSet::from([folder.to_owned()]),
            &files.iter().map(|file| folder.join(file)).collect(),
        )
    }

    #[test]
    fn what_is_written_replaced_added_or_removed_differs_and_what_is_read_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let write = |name: &str, text: &str| fs::write(here.join(name), text).unwrap();
        let mut before = Traces::default();
        let mut differs = |is_expected: bool, what: &str| {
            let now = of(here, &["c.py"]);
            assert_eq!(before != now, is_expected, "{what}");
            before = now;
        };
        write("c.py", "one");
        write("c.yaml", "one");
        write("data.bin", "one");
        differs(true, "files came");
        fs::read(here.join("c.py")).unwrap();
        differs(false, "a file was read");
        write("c.py", "longer");
        differs(true, "code was written");
        write("c.yaml", "longer");
        differs(true, "a spec was written");
        write("data.bin", "longer");
        differs(false, "what is neither was written");
        // The same size and time, as a copy that keeps both.
        let modified = fs::metadata(here.join("c.py")).unwrap().modified().unwrap();
        write(".new", "LONGER");
        fs::File::options()
            .write(true)
            .open(here.join(".new"))
            .unwrap()
            .set_modified(modified)
            .unwrap();
        fs::rename(here.join(".new"), here.join("c.py")).unwrap();
        differs(true, "a file was put in its place");
        fs::remove_file(here.join("c.yaml")).unwrap();
        differs(true, "a spec was removed");
    }

    #[test]
    fn a_file_behind_a_link_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        fs::create_dir(here.join("..one")).unwrap();
        fs::write(here.join("..one/c.yaml"), "one").unwrap();
        std::os::unix::fs::symlink("..one/c.yaml", here.join("c.yaml")).unwrap();
        let before = of(here, &[]);
        assert_eq!(before, of(here, &[]));
        fs::write(here.join("..one/c.yaml"), "longer").unwrap();
        assert_ne!(before, of(here, &[]));
    }
}
