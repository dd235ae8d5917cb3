//! Requirements of a cell from the folder of its file: `requirements.txt`, or the dependencies in
//! `pyproject.toml`.

mod line;
mod reader;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use model::folder_of;

use self::reader::{Asked, InstalledPathKind, copy, decode};
use crate::{
    environment::{self, EnvironmentError, Packages, ensure, io_error, short_hash},
    interpreter::BUILT,
};

/// Python code that prints the dependencies of a `pyproject.toml`, one on each line.
const DEPENDENCIES: &str = "import sys, tomllib; project = tomllib.loads(sys.stdin.read()).get('project', {}); \
                            print('\\n'.join(project.get('dependencies', [])))";
/// Limit of the number of files of a package. A folder with more files is no package but probably
/// named by mistake.
const FILES_MAX: usize = 5_000;
/// Files that describe the build of a package.
const MANIFESTS: [&str; 3] = ["pyproject.toml", "setup.py", "setup.cfg"];

/// Requirements of a cell that its body's environment may not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// File that the requirements are from.
    pub(crate) file: PathBuf,
    asked: Asked,
}

impl Requirements {
    /// Reads the requirements beside this file. Returns `None` if there are none, or only what
    /// every environment has.
    ///
    /// # Errors
    /// What cannot be read, or is named and not there: with the file and its line, for a person.
    pub(crate) fn beside(file: &Path) -> Result<Option<Self>, String> {
        let folder = folder_of(file);
        let named = folder.join("requirements.txt");
        let project = folder.join("pyproject.toml");
        let (file, text) = match read(&named)? {
            Some(text) => (named, text),
            None => match read(&project)? {
                Some(text) => (project.clone(), dependencies(&project, &text)?),
                None => return Ok(None),
            },
        };
        let asked = Asked::of(&file, &text)?;
        Ok(asked.is_any.then_some(Self { file, asked }))
    }

    /// Returns one text that identifies everything that is installed. A package that is named by a
    /// path counts as different in another folder, and when its content has changed.
    fn identity(&self) -> io::Result<String> {
        let mut text = self.asked.texts.join("\n\n");
        if !self.asked.places.is_empty() {
            text.push_str(&format!("\n{}", std::path::absolute(folder_of(&self.file))?.display()));
        }
        for place in &self.asked.places {
            if place.kind == InstalledPathKind::Links {
                links(&place.path)?.iter().for_each(|line| text.push_str(line));
                continue;
            }
            for file in files(&place.path)? {
                let name = file.strip_prefix(&place.path).unwrap_or(&file);
                let is_manifest = || MANIFESTS.iter().any(|manifest| name == Path::new(manifest));
                if place.kind == InstalledPathKind::Package || is_manifest() {
                    text.push_str(&format!(
                        "\n{} {}",
                        name.display(),
                        short_hash(&fs::read(&file)?)
                    ));
                }
            }
        }
        Ok(text)
    }

    /// Makes the environment with these requirements if it is not there, and returns its
    /// site-packages. Blocks.
    pub(crate) fn install(&self) -> Result<PathBuf, EnvironmentError> {
        let identity = self.identity().map_err(io_error("cannot read what it names by paths"))?;
        let place =
            environment::folder().join(format!("requirements-{}", short_hash(identity.as_bytes())));
        let lists = self
            .asked
            .texts
            .iter()
            .enumerate()
            .map(|(index, text)| (copy(index), text.as_str()))
            .collect();
        ensure(
            &place,
            &Packages { lists, is_hashed: self.asked.is_hashed, from: Some(folder_of(&self.file)) },
        )
    }
}

/// Returns the files and folders that a `requirements.txt` beside a cell's file names by relative
/// paths: `-r base.txt`, `-e ../lib`. They are part of the cell's code in any folder. A
/// `pyproject.toml` has no relative paths.
///
/// # Errors
/// What cannot be read, or is named and not there: with the file and its line, for a person.
pub fn named_by_requirements(file: &Path) -> Result<Vec<PathBuf>, String> {
    let list = folder_of(file).join("requirements.txt");
    let Some(text) = read(&list)? else { return Ok(Vec::new()) };
    Ok(Asked::of(&list, &text)?.named)
}

/// Reads the text of a file. Returns `None` if the file is not there.
fn read(file: &Path) -> Result<Option<String>, String> {
    match fs::read(file) {
        Ok(content) => {
            decode(&content).map(Some).map_err(|reason| format!("{}: {reason}", file.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

/// Returns sorted lines that identify the content of a folder of packages, by name, size and time
/// of change. The folder may be large, so no file is read.
fn links(place: &Path) -> io::Result<Vec<String>> {
    let paths = if place.is_dir() {
        // As in pip, folders below it are skipped.
        fs::read_dir(place)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()?
    } else {
        vec![place.to_owned()]
    };
    let mut lines = Vec::new();
    for path in paths {
        let python_info = match fs::metadata(&path) {
            Ok(python_info) if python_info.is_file() => python_info,
            Ok(_) => continue,
            // A link that leads nowhere, or a file that has gone meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let changed =
            python_info.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        lines.push(format!("\n{} {} {}", path.display(), python_info.len(), changed.as_nanos()));
    }
    lines.sort();
    Ok(lines)
}

/// Returns all files below a path, sorted, without hidden files and without those that building a
/// package makes there.
fn files(place: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![place.to_owned()];
    while let Some(path) = open.pop() {
        if !path.is_dir() {
            files.push(path);
            if files.len() > FILES_MAX {
                return Err(io::Error::other(format!(
                    "{} has more than {FILES_MAX} files",
                    place.display()
                )));
            }
            continue;
        }
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_made =
                ["__pycache__", "build", "venv"].contains(&&*name) || name.ends_with(".egg-info");
            // A link to a folder may lead in circles, and a link to a missing file is ignored.
            let is_link = entry.file_type()?.is_symlink() && !entry.path().is_file();
            if !name.starts_with('.') && !is_made && !is_link {
                open.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the dependencies in the text of this `pyproject.toml`, one on each line.
fn dependencies(project: &Path, text: &str) -> Result<String, String> {
    let wrong = |reason: &dyn std::fmt::Display| format!("{}: {reason}", project.display());
    let mut command = Command::new(BUILT.executable);
    command.args(["-I", "-S", "-X", "utf8", "-c", DEPENDENCIES]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| wrong(&error))?;
    if let Some(mut input) = child.stdin.take() {
        // A process that ends before it has read everything reports the reason.
        _ = input.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| wrong(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(wrong(&said.lines().last().unwrap_or("it cannot be read")))
}

#[cfg(test)]
mod tests;
