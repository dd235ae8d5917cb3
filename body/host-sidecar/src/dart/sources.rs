//! One hash over all files that a program is made of.
//!
//! These are the libraries and programs of the cell's package, and every file that they name in an
//! import, export or part, also in other packages: a package beside the cell may change while no
//! configuration does.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{Dart, Error, package::Package, sdk, uri};

/// Limit of the number of files. A cell with all its packages has some hundred; more than this is
/// the wrong folder.
const FILES_MAX: usize = 20_000;
const BYTES_MAX: u64 = 256 << 20;
/// The folders of a package that hold code which runs.
const FOLDERS: &[&str] = &["bin", "lib"];

/// Returns the hash over Dart, the SDK, the configuration, and every file. Two programs of the same
/// hash are the same.
pub(super) fn fingerprint(dart: &Dart, source: &Path, package: &Package) -> Result<String, Error> {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    // A program of a Dart in a folder of its own needs the loader in that folder, so the path
    // counts.
    let program = fs::canonicalize(&dart.path).unwrap_or_else(|_| dart.path.clone());
    for text in [&dart.version, sdk::fingerprint(), &package.config()] {
        add(text.as_bytes());
    }
    // The path of the source counts too: it is in stack traces.
    for path in [&program, source] {
        add(path.as_os_str().as_encoded_bytes());
    }
    add(package.root().map_or("", |(_, pubspec)| pubspec).as_bytes());
    for (path, text) in read(source, package)? {
        add(path.as_os_str().as_encoded_bytes());
        add(text.as_bytes());
    }
    Ok(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

/// Reads every file, in the order of the paths.
pub(super) fn read(source: &Path, package: &Package) -> Result<BTreeMap<PathBuf, String>, Error> {
    let mut open = vec![source.to_path_buf()];
    if let Some((root, _)) = package.root() {
        for folder in FOLDERS {
            collect(&root.join(folder), &mut open)?;
        }
    }
    let mut found = BTreeMap::new();
    let mut bytes = 0;
    while let Some(file) = open.pop() {
        let Ok(file) = fs::canonicalize(&file) else { continue };
        if found.contains_key(&file) {
            continue;
        }
        // If a file cannot be read, the compiler reports it, with the line that imports it.
        let Ok(text) = fs::read(&file) else { continue };
        bytes += text.len() as u64;
        if found.len() >= FILES_MAX || bytes > BYTES_MAX {
            return Err(Error::source(
                source,
                "too many files belong to it: give the cell a folder and pubspec.yaml",
            ));
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        open.extend(named(&text).filter_map(|uri| resolve(uri, &file, package)));
        found.insert(file, text);
    }
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        // A link to a folder may lead in a circle. A file behind it is found by its import.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "dart") {
            found.push(path);
        }
        if found.len() > FILES_MAX {
            return Err(Error::source(
                folder,
                format!("it holds more than {FILES_MAX} Dart files"),
            ));
        }
    }
    Ok(())
}

/// Returns every text between quotes that ends in `.dart`: every import, export and part, also
/// conditional ones. A string that only looks like one adds a needless file to the hash.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(".dart").filter_map(|(at, suffix)| {
        let end = at + suffix.len();
        let quote = text.get(end..)?.chars().next().filter(|next| matches!(next, '\'' | '"'))?;
        let line = text.get(..end)?;
        let start = line.rfind([quote, '\n'])?;
        line.get(start..)?.strip_prefix(quote)
    })
}

fn resolve(uri: &str, from: &Path, package: &Package) -> Option<PathBuf> {
    match uri.strip_prefix("package:") {
        Some(rest) => rest.split_once('/').and_then(|(name, path)| package.library(name, path)),
        None => uri::path(uri, from.parent()?),
    }
}
