//! New files: all or none, and none over another.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use crate::exit::Failure;

/// A file to be.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Fills a template: `{{word}}` becomes the word's value.
pub(super) fn fill(template: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(template.to_owned(), |text, (word, value)| text.replace(&format!("{{{{{word}}}}}"), value))
}

/// Writes the files, and the folders above them.
///
/// # Errors
/// When one of them is there already (nothing has been written then), or cannot be written.
pub(super) fn write(files: &[NewFile]) -> Result<(), Failure> {
    let there = |file: &&NewFile| file.path.symlink_metadata().is_ok();
    if let Some(file) = files.iter().find(there) {
        return Err(Failure::failed(format_args!("{} is there already; nothing was written", file.path.display())));
    }
    for file in files {
        write_one(file).map_err(|error| {
            let hint = if error.kind() == ErrorKind::PermissionDenied { "; choose a folder with --path" } else { "" };
            Failure::failed(format_args!("{} cannot be written: {error}{hint}", file.path.display()))
        })?;
    }
    Ok(())
}

fn write_one(file: &NewFile) -> std::io::Result<()> {
    if let Some(folder) = file.path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Somebody may have been quicker since the look above: `create_new` writes over nothing.
    OpenOptions::new().write(true).create_new(true).open(&file.path)?.write_all(file.text.as_bytes())
}

/// The JSON Schema of specs, which editors read; new specs name it in their first line.
const SCHEMA: &str = "";

/// Writes the editors' schema where new specs look for it, unless something is there.
pub(super) fn write_schema(folder: &Path) -> Result<(), Failure> {
    let path = folder.join("specs/schemas/cbs/v1alpha1/spec.json");
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    write(&[NewFile { path, text: SCHEMA.to_owned() }])
}
