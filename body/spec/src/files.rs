//! The files that a load reads, and their texts.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::{
    API_VERSION, Diagnostic, bounds::FILE_BYTES_MAX, code, error::PathError, findings::Findings,
    source::Source, source::SourceSpan,
};

/// Limits of the search for specs that are not read: folders below one folder, and files of each.
const FOLDERS_MAX: usize = 200;
const FILES_MAX: usize = 50;
/// Number of bytes of such a file that are read. The version of a spec stands at its beginning.
const HEAD_BYTES: u64 = 4096;
/// The folders of a folder of specs that are read too.
const FOLDERS: [&str; 2] = ["cells", "flows"];

/// Result of following a list of paths.
#[derive(Debug, Default)]
pub(crate) struct FoundFiles {
    /// The files, each once, in the order of the paths and then of their names.
    pub(crate) files: Vec<File>,
    /// Mistakes: folders without specs.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Notes: folders that are not read and have specs.
    pub(crate) notes: Vec<Diagnostic>,
    /// Paths that cannot be followed.
    pub(crate) errors: Vec<PathError>,
}

/// A file of specs.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// True if the file itself was named; false if it was found in a folder that was named.
    pub(crate) is_named: bool,
}

/// Follows every path.
pub(crate) fn find(paths: &[PathBuf]) -> FoundFiles {
    let mut found = FoundFiles::default();
    let mut seen = BTreeSet::new();
    for path in paths {
        match files_of(path) {
            Ok(files) if files.is_empty() => found.diagnostics.push(empty(path)),
            Ok(files) => {
                // One file by two paths is one file, not two specs of one name.
                found.files.extend(
                    files.into_iter().filter(|file| seen.insert(file.path.canonicalize().ok())),
                );
            }
            Err(source) => found.errors.push(PathError { path: path.clone(), source }),
        }
    }
    let read: BTreeSet<_> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let is_read =
        |folder: &PathBuf| folder.canonicalize().is_ok_and(|folder| read.contains(&folder));
    for folder in paths.iter().flat_map(|path| unread(path)).filter(|folder| !is_read(folder)) {
        let message = "the specs in this folder are not read".to_owned();
        let hint = "name the folder as well, or move them up: of a folder *.yaml, cells/*.yaml and flows/*.yaml are read";
        found.notes.push(
            Diagnostic::of_file(folder, code::NOT_READ, message).with_hint(Some(hint.to_owned())),
        );
    }
    found
}

/// The mistake of a folder that has no specs.
pub(crate) fn empty(folder: &Path) -> Diagnostic {
    let message = "there are no specs in this folder".to_owned();
    let hint = "put them in as *.yaml, or into its folders cells and flows".to_owned();
    Diagnostic::of_file(folder.to_owned(), code::EMPTY, message).with_hint(Some(hint))
}

/// The note of a file that was found and belongs to another program.
pub(crate) fn foreign(file: &Path) -> Diagnostic {
    let message = format!("passed over: it has no `apiVersion: {API_VERSION}`");
    Diagnostic::of_file(file.to_owned(), code::FOREIGN, message)
}

/// The note of a FIFO, a socket or a device that was found. Reading it might never end.
pub(crate) fn special(file: &Path) -> Diagnostic {
    Diagnostic::of_file(
        file.to_owned(),
        code::NO_FILE,
        "passed over: it is no regular file".to_owned(),
    )
}

/// True if a path leads to a FIFO, a socket or a device.
pub(crate) fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// True if a YAML text declares that it holds specs: it has a key `apiVersion` with a value
/// `cbs/…`, outside of comments. A text that only mentions such a key does not count.
#[must_use]
pub fn is_spec(text: &str) -> bool {
    const KEY: &str = "apiVersion";
    const VERSIONS: &str = "cbs/";
    const QUOTES: [char; 2] = ['"', '\''];
    let is_api = |line: &str| {
        line.match_indices(KEY).any(|(at, _)| {
            let (before, rest) = line.split_at(at);
            let before = before.trim_end_matches(QUOTES).trim_end();
            let value = rest
                .trim_start_matches(KEY)
                .trim_start_matches(QUOTES)
                .trim_start()
                .strip_prefix(':');
            let value = value.map(|value| value.trim_start().trim_start_matches(QUOTES));
            (before.is_empty() || before.ends_with(['{', ',', '-']))
                && value.is_some_and(|it| it.starts_with(VERSIONS))
        })
    };
    text.lines().any(|line| {
        !line.trim_start().starts_with('#') && is_api(line.trim_start_matches('\u{feff}'))
    })
}

fn files_of(path: &Path) -> io::Result<Vec<File>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![File { path: path.to_owned(), is_named: true }]);
    }
    let mut files = yaml_files(path)?;
    for folder in FOLDERS.map(|name| path.join(name)) {
        if folder.is_dir() {
            files.extend(yaml_files(&folder)?);
        }
    }
    Ok(files.into_iter().map(|path| File { path, is_named: false }).collect())
}

/// The folders with specs that are not read, one level below the folders that are read.
fn unread(path: &Path) -> Vec<PathBuf> {
    let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    let below = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders
            .filter(|entry| !is_hidden(&entry.file_name()))
            .map(|entry| entry.path())
            .take(FOLDERS_MAX)
    };
    let own = FOLDERS.map(|name| path.join(name));
    let folders = own.iter().cloned().chain([path.to_owned()]).flat_map(below);
    let has_specs = |folder: &PathBuf| {
        let files = yaml_files(folder).unwrap_or_default();
        files.iter().take(FILES_MAX).any(|file| head(file).is_some_and(|head| is_spec(&head)))
    };
    let mut folders: Vec<_> =
        folders.filter(|folder| !own.contains(folder) && has_specs(folder)).collect();
    folders.sort();
    folders
}

/// The beginning of a file.
fn head(file: &Path) -> Option<String> {
    if is_special(file) {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(file).ok()?.take(HEAD_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The files of a folder that are YAML and not hidden, by name.
fn yaml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_yaml =
            path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let is_hidden =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_yaml && !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file of specs. If it cannot be read, that is reported like any other mistake.
pub(crate) fn read(file: &Path) -> Findings {
    let mut bytes = Vec::new();
    let read =
        fs::File::open(file).and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => text(file, bytes),
        Err(error) => {
            let hint = "give this user the right to read it, or take it out";
            refused(file, code::UNREADABLE, format!("cannot be read: {error}"), hint)
        }
    }
}

/// Converts the bytes of a file to text. Mistakes: too large a file, no UTF-8, a NUL character.
pub(crate) fn text(file: &Path, bytes: Vec<u8>) -> Findings {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return refused(
            file,
            code::TOO_LARGE,
            "larger than 1 MiB".to_owned(),
            "split it into several files",
        );
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let line =
                error.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1;
            let message =
                format!("no UTF-8 text: the byte {offset} in line {line} fits no character");
            return refused(file, code::NOT_TEXT, message, "save it as UTF-8");
        }
    };
    let findings =
        Findings::new(Source::new(file.to_owned(), text.strip_prefix('\u{feff}').unwrap_or(&text)));
    if let Some(offset) = findings.source.text.find('\0') {
        // The parser would take it for the end and say nothing of the rest.
        let location = SourceSpan { offset, len: 1 };
        findings.add(
            location,
            code::NOT_TEXT,
            "a NUL character: the file is not read",
            "take it out".to_owned(),
        );
    }
    findings
}

/// A file of which nothing is read, with the reason.
fn refused(file: &Path, code: &'static str, message: String, hint: &str) -> Findings {
    let findings = Findings::new(Source::new(file.to_owned(), ""));
    findings.add_whole(
        Diagnostic::of_file(file.to_owned(), code, message).with_hint(Some(hint.to_owned())),
    );
    findings
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
