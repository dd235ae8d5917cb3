//! Which files a load reads, and their texts.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::{
    Diagnostic, bounds::FILE_BYTES_MAX, code, error::PathError, findings::Findings, source::Source, source::Span,
};

/// The folders of a folder of specs that are read too.
const FOLDERS: [&str; 2] = ["cells", "flows"];

/// What a list of paths comes to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The files, each once, in the order of the paths and then of their names.
    pub(crate) files: Vec<PathBuf>,
    /// Folders without any.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Paths that cannot be followed.
    pub(crate) errors: Vec<PathError>,
}

/// Follows every path.
pub(crate) fn find(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    let mut seen = BTreeSet::new();
    for path in paths {
        match files_of(path) {
            Ok(files) if files.is_empty() => {
                let message = "there are no specs in this folder".to_owned();
                let hint = "put them in as *.yaml, or into its folders cells and flows".to_owned();
                found.diagnostics.push(Diagnostic::of_file(path.clone(), code::EMPTY, message).with_hint(Some(hint)));
            }
            Ok(files) => {
                // One file by two paths is one file, not two specs of one name.
                found.files.extend(files.into_iter().filter(|file| seen.insert(file.canonicalize().ok())));
            }
            Err(source) => found.errors.push(PathError { path: path.clone(), source }),
        }
    }
    found
}

fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = yaml_files(path)?;
    for folder in FOLDERS.map(|name| path.join(name)) {
        if folder.is_dir() {
            files.extend(yaml_files(&folder)?);
        }
    }
    Ok(files)
}

/// The files of a folder that are YAML and not hidden, by name.
fn yaml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_yaml && !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file of specs; that it cannot be read is a mistake like any other.
pub(crate) fn read(file: &Path) -> Findings {
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => text(file, bytes),
        Err(error) => {
            let hint = "give this user the right to read it, or take it out";
            refused(file, code::UNREADABLE, format!("cannot be read: {error}"), hint)
        }
    }
}

/// The text of a file, if it is one.
pub(crate) fn text(file: &Path, bytes: Vec<u8>) -> Findings {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return refused(file, code::TOO_LARGE, "larger than 1 MiB".to_owned(), "split it into several files");
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("no UTF-8 text: the byte {offset} in line {line} fits no character");
            return refused(file, code::NOT_TEXT, message, "save it as UTF-8");
        }
    };
    let findings = Findings::new(Source::new(file.to_owned(), text.strip_prefix('\u{feff}').unwrap_or(&text)));
    if let Some(offset) = findings.source.text.find('\0') {
        // The parser would take it for the end and say nothing of the rest.
        let place = Span { offset, len: 1 };
        findings.add(place, code::NOT_TEXT, "a NUL character: the file is not read", "take it out".to_owned());
    }
    findings
}

/// A file of which nothing is read, and why.
fn refused(file: &Path, code: &'static str, message: String, hint: &str) -> Findings {
    let findings = Findings::new(Source::new(file.to_owned(), ""));
    findings.add_whole(Diagnostic::of_file(file.to_owned(), code, message).with_hint(Some(hint.to_owned())));
    findings
}
