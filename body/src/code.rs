//! The code of a cell that is not linked in: the files that it is made of, a hash that differs
//! between two versions, and the source files that go into its bundle.

mod ignore;
mod source_files;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use host_sidecar::dart;
use model::{CellSpec, Program, Runtime, folder_of};
use sha2::{Digest, Sha256};

pub(crate) use self::source_files::{Item, SourceFiles};

/// Limit of a cell's files. With more, the source is probably beside files that do not belong to
/// it.
const FILES_MAX: usize = 2_000;
/// Limit of the depth of folders that are searched.
const DEPTH_MAX: usize = 16;
/// Folders whose content is made by other programs.
const MADE: &[&str] = &["__pycache__", "build", "node_modules", "target", "venv"];

/// Endings of the files of a Python package, and of packages that are single files.
const PACKAGES: &[&str] = &[".py", ".toml", ".cfg", ".c", ".whl", ".zip", ".gz"];

/// The files of a cell's code.
#[derive(Debug)]
pub(crate) struct Code {
    /// The folder that contains them.
    root: PathBuf,
    /// Paths relative to the folder, in order.
    files: BTreeSet<PathBuf>,
    /// The folders below it that were searched for them, relative to it.
    searched: Vec<PathBuf>,
}

impl Code {
    /// Returns the code of a cell; `None` for a cell that is linked in.
    ///
    /// - Python: the `.py` files and the requirements in the folder of its source and below, and
    ///   the files that the requirements name.
    /// - Dart: the `.dart` files and the manifest of its package (the nearest `pubspec.yaml`), and
    ///   all other files of this machine that its code imports.
    /// - A command: its words that are files, relative to the spec's folder.
    ///
    /// # Errors
    /// The files cannot be listed, or are too many.
    pub(crate) fn of(spec: &CellSpec) -> Option<io::Result<Self>> {
        match &spec.runtime {
            Runtime::Rust => None,
            Runtime::Python(python) => Some(Self::python(&python.file)),
            Runtime::Dart(sidecar) | Runtime::Exec(sidecar) => Some(match &sidecar.program {
                Program::Source(source) => Self::dart(source),
                Program::Command(words) => Ok(Self::words(folder_of(&spec.metadata.file), words)),
            }),
        }
    }

    fn python(source: &Path) -> io::Result<Self> {
        let root = folder_of(source);
        let is_code = |name: &str| {
            name.ends_with(".py") || ["requirements.txt", "pyproject.toml"].contains(&name)
        };
        let mut code = Self::below(root, is_code)?;
        // A missing file is reported by the host when it starts the cell.
        for named in required(source).unwrap_or_default() {
            let Ok(place) = named.strip_prefix(root) else { continue };
            if named.is_dir() {
                let is_part = |name: &str| PACKAGES.iter().any(|ending| name.ends_with(ending));
                code.files.extend(
                    Self::below(&named, is_part)?.files.iter().map(|file| place.join(file)),
                );
            } else {
                code.files.insert(place.to_owned());
            }
        }
        Ok(code)
    }

    fn dart(source: &Path) -> io::Result<Self> {
        let mut code = Self::below(&package(source), |name| {
            name.ends_with(".dart")
                || ["pubspec.yaml", "pubspec.lock", "package_config.json"].contains(&name)
        })?;
        // An unknown or missing package is reported by the compiler.
        if let Ok(needs) = dart::needs(source) {
            let near = needs.packages.into_iter().filter(|package| !package.is_hosted());
            code.files.extend(near.flat_map(|package| package.files).chain(needs.strays));
        }
        Ok(code)
    }

    fn below(root: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Self> {
        let mut files = BTreeSet::new();
        let mut searched = Vec::new();
        let mut folders = vec![(PathBuf::new(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = folder.join(&name);
                let listed = entry.file_type()?;
                let kind = if listed.is_symlink() {
                    // What has gone since it was listed, and a link that leads nowhere, are no
                    // code.
                    let Ok(behind) = fs::metadata(root.join(&path)) else { continue };
                    behind.file_type()
                } else {
                    listed
                };
                if kind.is_dir()
                    && depth < DEPTH_MAX
                    && !name.starts_with('.')
                    && !MADE.contains(&name.as_str())
                {
                    folders.push((path, depth + 1));
                } else if kind.is_file() && wanted(&name) {
                    files.insert(path);
                }
                if files.len() > FILES_MAX || folders.len() > FILES_MAX {
                    let message = format!(
                        "{} has more than {FILES_MAX} files: give the cell a folder of its own",
                        root.display()
                    );
                    return Err(io::Error::other(message));
                }
            }
            searched.push(folder);
        }
        Ok(Self { root: root.to_owned(), files, searched })
    }

    fn words(folder: &Path, words: &[String]) -> Self {
        let program = words.first().filter(|word| word.contains('/')).map(PathBuf::from);
        let program = program.and_then(|program| std::path::absolute(program).ok());
        let arguments =
            words.iter().skip(1).map(PathBuf::from).filter(|word| folder.join(word).is_file());
        Self {
            root: folder.to_owned(),
            files: program.into_iter().chain(arguments).collect(),
            searched: Vec::new(),
        }
    }

    /// Returns the files, relative to the working folder.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.files.iter().map(|file| self.root.join(file))
    }

    /// Returns the folders that contain the files, or would contain a new one.
    pub(crate) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let searched = self.searched.iter().map(|folder| self.root.join(folder));
        let own = std::iter::once(self.root.clone()).chain(searched);
        own.chain(self.files.iter().map(|file| folder_of(&self.root.join(file)).to_owned()))
    }

    /// Returns a hash of names and contents, hexadecimal.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn hash(&self) -> io::Result<String> {
        let mut hash = Sha256::new();
        let mut part = [0; 16 * 1024];
        for path in &self.files {
            let mut file = File::open(self.root.join(path))?;
            hash.update(path.as_os_str().as_encoded_bytes());
            hash.update([0]);
            loop {
                let count = file.read(&mut part)?;
                let Some(read) = part.get(..count).filter(|read| !read.is_empty()) else { break };
                hash.update(read);
            }
            hash.update([0]);
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Returns the files that the requirements beside a Python cell's file name by relative paths.
#[cfg(feature = "python")]
fn required(source: &Path) -> io::Result<Vec<PathBuf>> {
    host_python::named_by_requirements(source).map_err(io::Error::other)
}

/// Returns nothing: this program hosts no Python, so it reads no requirements.
#[cfg(not(feature = "python"))]
fn required(_: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(Vec::new())
}

/// Returns the package that contains a Dart source, or its folder if there is none.
fn package(source: &Path) -> PathBuf {
    let above = folder_of(source).ancestors().take(DEPTH_MAX);
    above
        .into_iter()
        .find(|folder| folder.join("pubspec.yaml").is_file())
        .unwrap_or_else(|| folder_of(source))
        .to_owned()
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
