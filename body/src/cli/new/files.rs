//! New files: all or none, and none over another.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use crate::exit::Failure;

/// A file that is to be written.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Fills a template: `{{word}}` becomes the word's value.
pub(super) fn fill(template: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(template.to_owned(), |text, (word, value)| {
        text.replace(&format!("{{{{{word}}}}}"), value)
    })
}

/// Returns the path relative to the working folder if it is below it, ready to paste.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
    let path = path.strip_prefix(&here).unwrap_or(path).to_string_lossy();
    // A path has no NUL, which is all that cannot be quoted.
    shlex::try_quote(&path).unwrap_or_else(|_| path.clone()).into_owned()
}

/// Makes the failure for a file that exists: nothing was written.
pub(super) fn there(path: &Path) -> Failure {
    Failure::failed(format_args!("{} is there already; nothing was written", path.display()))
}

/// Writes the files, and the folders above them.
///
/// # Errors
/// One of them exists already (then nothing has been written), or cannot be written.
pub(super) fn write(files: &[NewFile]) -> Result<(), Failure> {
    if let Some(file) = files.iter().find(|file| file.path.symlink_metadata().is_ok()) {
        return Err(there(&file.path));
    }
    for file in files {
        write_one(file).map_err(|error| {
            let hint = if error.kind() == ErrorKind::PermissionDenied {
                "; choose a folder with --path"
            } else {
                ""
            };
            Failure::failed(format_args!(
                "{} cannot be written: {error}{hint}",
                file.path.display()
            ))
        })?;
    }
    Ok(())
}

fn write_one(file: &NewFile) -> std::io::Result<()> {
    if let Some(folder) = file.path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Somebody may have been quicker since the look above: `create_new` writes over nothing.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&file.path)?
        .write_all(file.text.as_bytes())
}

/// Path of the JSON Schema of specs, below the folder that has `specs/`.
const SCHEMA: &str = "specs/schemas/cbs/v1alpha1/spec.json";
/// Line for editors that names the schema in a spec in `specs/cells/` or `specs/flows/`.
const HINT: &str = "# yaml-language-server: $schema=../schemas/cbs/v1alpha1/spec.json\n";

/// Copies the schema for editors from a checkout to the folder of new specs. Returns the line that
/// names it, or an empty text if there is no schema.
pub(super) fn schema_hint(folder: &Path, checkout: Option<&Path>) -> Result<&'static str, Failure> {
    let path = folder.join(SCHEMA);
    if path.symlink_metadata().is_ok() {
        return Ok(HINT);
    }
    match checkout.and_then(|checkout| std::fs::read_to_string(checkout.join(SCHEMA)).ok()) {
        Some(text) => write(&[NewFile { path, text }]).map(|()| HINT),
        None => Ok(""),
    }
}
