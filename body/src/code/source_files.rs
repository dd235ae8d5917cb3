//! The source files of a cell that go into its bundle.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use fleet::keys::BUNDLE_BYTES_MAX;
use host_sidecar::dart::{self, DartDependencies, Dependency};
use model::{CellSpec, Program, Runtime, folder_of};
use serde_json::json;

use super::{Code, DEPTH_MAX, MADE, ignore::Ignore, package, required};
use crate::bundle::FILES_MAX;

/// Limit of the files of a folder. A folder with more is not searched to its end.
const LOOK_MAX: usize = 50_000;
/// Folder of a Dart package's configuration, beside which the packages that it imports are placed.
const DART: &str = ".dart_tool";
/// Number of bytes from a file's head that are read to see whether it is a spec.
const SPEC_HEAD: usize = 4_096;

/// Files by their paths relative to the working folder. On the other machine they have the same
/// paths relative to each other.
#[derive(Debug, Default)]
pub(crate) struct SourceFiles(BTreeMap<PathBuf, Item>);

/// Content at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// The content of this file.
    File(PathBuf),
    /// This text itself.
    Text(String),
}

impl Item {
    /// Returns the content, and whether it may be executed.
    ///
    /// # Errors
    /// The content cannot be read. The message has its path.
    pub(crate) fn read(&self) -> io::Result<(Vec<u8>, bool)> {
        match self {
            Self::Text(text) => Ok((text.clone().into_bytes(), false)),
            Self::File(file) => {
                let content = fs::read(file).map_err(|error| at(file, &error))?;
                let rights =
                    fs::metadata(file).map_err(|error| at(file, &error))?.permissions().mode();
                Ok((content, rights & 0o100 != 0))
            }
        }
    }
}

impl SourceFiles {
    /// Returns the source files of a cell; `None` for a cell that is linked in.
    ///
    /// - Python: the folder of its source, and the files that its requirements name by relative
    ///   paths.
    /// - Dart: its package (the nearest `pubspec.yaml`), and the packages that its code imports.
    /// - A command: its words that are files, relative to the spec's folder. If such a file is in a
    ///   subfolder of that folder, the whole subfolder. Else the libraries beside the program that
    ///   it names.
    ///
    /// Files of such a folder are left out if they are hidden, made by other programs, specs, or
    /// match its `.cbsignore`.
    ///
    /// # Errors
    /// A file cannot be read, leads out of its folder, or is missing; or the files are too many or
    /// too large. The message says which file, and what to do.
    pub(crate) fn of(spec: &CellSpec) -> Option<io::Result<Self>> {
        match &spec.runtime {
            Runtime::Rust => None,
            Runtime::Python(python) => Some(Self::packed(|all| all.python(&python.file))),
            Runtime::Dart(sidecar) | Runtime::Exec(sidecar) => Some(match &sidecar.program {
                Program::Source(source) => Self::packed(|all| all.dart(source)),
                Program::Command(words) => {
                    Self::packed(|all| all.words(folder_of(&spec.metadata.file), words))
                }
            }),
        }
    }

    /// Returns the content by paths as they were written.
    pub(crate) fn items(&self) -> impl Iterator<Item = (&Path, &Item)> {
        self.0.iter().map(|(place, item)| (place.as_path(), item))
    }

    fn packed(pack: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<Self> {
        let mut all = Self::default();
        pack(&mut all)?;
        all.check()?;
        Ok(all)
    }

    /// Adds all files of a folder that belong into a bundle, as if the folder were at this path.
    fn walk(&mut self, root: &Path, place: &Path, left_out: &[&str]) -> io::Result<()> {
        let ignore = Ignore::of(root)?;
        let whole = fs::canonicalize(root).map_err(|error| at(root, &error))?;
        let mut folders = vec![(PathBuf::new(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let here = root.join(&folder);
            for entry in fs::read_dir(&here).map_err(|error| at(&here, &error))? {
                let entry = entry.map_err(|error| at(&here, &error))?;
                let path = folder.join(entry.file_name());
                let name = entry.file_name().to_string_lossy().into_owned();
                let file = root.join(&path);
                // What has gone since it was listed, and a link that leads nowhere, is nothing to
                // take along.
                let Ok(kind) = fs::metadata(&file) else { continue };
                if is_left_out(&name, &file, kind.is_dir(), left_out)
                    || ignore.has(&path, kind.is_dir())
                {
                    continue;
                }
                if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                    check_link(root, &path, &whole)?;
                }
                if kind.is_file() {
                    self.0.insert(place.join(&path), Item::File(file));
                } else if kind.is_dir() && depth < DEPTH_MAX {
                    folders.push((path, depth + 1));
                } else if kind.is_dir() {
                    let reason = format!(
                        "{} is nested deeper than {DEPTH_MAX} folders: {ELSEWHERE}",
                        file.display()
                    );
                    return Err(io::Error::other(reason));
                }
            }
            if self.0.len() > LOOK_MAX || folders.len() > LOOK_MAX {
                return Err(io::Error::other(format!(
                    "{} has more than {LOOK_MAX} files: {ELSEWHERE}",
                    root.display()
                )));
            }
        }
        Ok(())
    }

    fn python(&mut self, source: &Path) -> io::Result<()> {
        self.walk(folder_of(source), folder_of(source), MADE)?;
        for named in required(source)? {
            if named.is_dir() {
                self.walk(&named, &named, MADE)?;
            } else {
                self.0.insert(named.clone(), Item::File(named));
            }
        }
        Ok(())
    }

    fn dart(&mut self, source: &Path) -> io::Result<()> {
        let root = package(source);
        self.walk(&root, &root, MADE)?;
        let needs = dart::needs(source).map_err(io::Error::other)?;
        let whole = fs::canonicalize(&root).map_err(|error| at(&root, &error))?;
        for stray in &needs.strays {
            self.0.insert(root.join(from(&whole, stray)), Item::File(stray.clone()));
        }
        if needs.packages.is_empty() {
            return Ok(());
        }
        let mut packages = Vec::new();
        for needed in &needs.packages {
            let uri = match needed.root.strip_prefix(&whole) {
                Ok(within) => format!("../{}/", within.display()),
                Err(_) => {
                    self.beside(needed, &root.join(DART).join("packages").join(&needed.name))?;
                    format!("packages/{}/", needed.name)
                }
            };
            packages.push((
                needed.name.as_str(),
                uri,
                needed.libraries.as_str(),
                needed.language.as_deref(),
            ));
        }
        let text = configuration(&needs, packages);
        self.0.insert(root.join(DART).join("package_config.json"), Item::Text(text));
        Ok(())
    }

    /// Adds an imported package at this path. A package of this machine is added whole. Of a
    /// package from a registry, only the imported files are added.
    fn beside(&mut self, needed: &Dependency, place: &Path) -> io::Result<()> {
        if !needed.is_hosted() {
            return self.walk(&needed.root, place, MADE);
        }
        let about = ["pubspec.yaml", "LICENSE"].map(|name| needed.root.join(name));
        for file in needed.files.iter().chain(about.iter().filter(|file| file.is_file())) {
            let within = file.strip_prefix(&needed.root).unwrap_or(file);
            self.0.insert(place.join(within), Item::File(file.clone()));
        }
        Ok(())
    }

    fn words(&mut self, home: &Path, words: &[String]) -> io::Result<()> {
        let absolute = std::path::absolute(home)?;
        for file in Code::words(home, words).files() {
            self.0.insert(file.clone(), Item::File(file.clone()));
            let within = file
                .strip_prefix(home)
                .or_else(|_| file.strip_prefix(&absolute))
                .map(plain)
                .unwrap_or_default();
            let mut names = within.components();
            match (names.next(), names.next()) {
                // A program's own files are beside it; its dependencies are Node's, Ruby's
                // or whosoever's.
                (Some(Component::Normal(top)), Some(_)) => {
                    self.walk(&home.join(top), &home.join(top), BUILT)?;
                }
                _ => self.libraries(&file)?,
            }
        }
        Ok(())
    }

    /// Adds the libraries beside a program, or beside a library, that it names.
    fn libraries(&mut self, program: &Path) -> io::Result<()> {
        let mut open = vec![program.to_owned()];
        while let Some(program) = open.pop() {
            let Ok(content) = fs::read(&program) else { continue };
            if !crate::bundle::is_native(&content) {
                continue;
            }
            for entry in fs::read_dir(folder_of(&program))?.flatten() {
                let name = entry.file_name();
                let path = entry.path();
                let text = name.to_string_lossy();
                let is_library =
                    text.ends_with(".so") || text.contains(".so.") || text.ends_with(".dylib");
                let names =
                    |name: &str| content.windows(name.len()).any(|bytes| bytes == name.as_bytes());
                if is_library && path.is_file() && !self.0.contains_key(&path) && names(&text) {
                    self.0.insert(path.clone(), Item::File(path.clone()));
                    open.push(path);
                }
            }
        }
        Ok(())
    }

    /// Checks that the files are not too many, and not too large.
    fn check(&self) -> io::Result<()> {
        let size = |item: &Item| match item {
            Item::File(file) => fs::metadata(file).map_or(0, |data| data.len()),
            Item::Text(text) => text.len() as u64,
        };
        let mut sizes: Vec<(u64, &Path)> =
            self.items().map(|(place, item)| (size(item), place)).collect();
        let bytes: u64 = sizes.iter().map(|(bytes, _)| bytes).sum();
        if bytes > BUNDLE_BYTES_MAX as u64 {
            sizes.sort_by_key(|(bytes, _)| Reverse(*bytes));
            let largest = sizes
                .iter()
                .take(3)
                .map(|(bytes, place)| format!("{} ({})", place.display(), mebibytes(*bytes)));
            let largest = largest.collect::<Vec<_>>().join(", ");
            return Err(io::Error::other(format!(
                "{} travel with the cell, and no more than {} may; the largest are {largest}: {ELSEWHERE}",
                mebibytes(bytes),
                mebibytes(BUNDLE_BYTES_MAX as u64)
            )));
        }
        if self.0.len() > FILES_MAX {
            let mut folders: BTreeMap<&Path, usize> = BTreeMap::new();
            self.0.keys().for_each(|place| *folders.entry(folder_of(place)).or_default() += 1);
            let fullest = folders.iter().max_by_key(|(_, count)| **count);
            let fullest = fullest
                .map(|(folder, count)| format!("{} ({count})", folder.display()))
                .unwrap_or_default();
            let count = self.0.len();
            return Err(io::Error::other(format!(
                "{count} files travel with the cell, and no more than {FILES_MAX} may; most are in {fullest}: {ELSEWHERE}"
            )));
        }
        Ok(())
    }
}

/// Hint for a folder with too many or too large files.
const ELSEWHERE: &str =
    "give the cell a folder of its own, or name in a `.cbsignore` there what stays at home";
/// Folders that are left out of a command's folder.
const BUILT: &[&str] = &["__pycache__", "target", "venv"];

fn is_left_out(name: &str, file: &Path, is_folder: bool, folders: &[&str]) -> bool {
    if name.starts_with('.') {
        return true;
    }
    if is_folder {
        return folders.contains(&name) || file.join("pyvenv.cfg").is_file();
    }
    // Paths of packages on this machine are of no use on another.
    name.ends_with(".pyc")
        || name.ends_with('~')
        || name == "pubspec_overrides.yaml"
        || is_spec(name, file)
}

/// True if a file is a spec. Specs are stored separately, and a change of one must not change the
/// code of another.
fn is_spec(name: &str, file: &Path) -> bool {
    let is_yaml = [".yaml", ".yml"].iter().any(|ending| name.ends_with(ending));
    is_yaml && {
        let mut head = Vec::new();
        let read = fs::File::open(file)
            .and_then(|file| file.take(SPEC_HEAD as u64).read_to_end(&mut head));
        read.is_ok() && spec::is_spec(&String::from_utf8_lossy(&head))
    }
}

fn check_link(root: &Path, path: &Path, whole: &Path) -> io::Result<()> {
    let file = root.join(path);
    let target = fs::canonicalize(&file).map_err(|error| at(&file, &error))?;
    let refused =
        |reason: &str| Err(io::Error::other(format!("{} is a link {reason}", file.display())));
    if !target.starts_with(whole) {
        let out = format!(
            "out of the cell's folder, to {}: put a copy there, or name it in a `.cbsignore`",
            target.display()
        );
        return refused(&out);
    }
    let is_above =
        |above: &Path| fs::canonicalize(root.join(above)).is_ok_and(|above| above == target);
    if path.ancestors().skip(1).any(is_above) {
        return refused("to a folder that contains it: remove it, or name it in a `.cbsignore`");
    }
    Ok(())
}

/// Returns a package configuration as Dart reads it, with paths that are valid on any machine.
fn configuration(
    needs: &DartDependencies,
    packages: Vec<(&str, String, &str, Option<&str>)>,
) -> String {
    let own = needs
        .own
        .as_ref()
        .map(|(name, language)| (name.as_str(), "../".to_owned(), "lib/", language.as_deref()));
    let entries = own.into_iter().chain(packages).map(|(name, root, libraries, language)| {
        let mut entry = json!({ "name": name, "rootUri": root, "packageUri": libraries });
        if let (Some(language), Some(entry)) = (language, entry.as_object_mut()) {
            entry.insert("languageVersion".to_owned(), json!(language));
        }
        entry
    });
    json!({ "configVersion": 2, "packages": entries.collect::<Vec<_>>() }).to_string()
}

/// Returns the relative path from a folder to a file. Both are absolute and without links.
fn from(folder: &Path, file: &Path) -> PathBuf {
    let common =
        folder.components().zip(file.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(common).map(|_| Component::ParentDir);
    up.chain(file.components().skip(common)).collect()
}

fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[path = "source_files_tests.rs"]
mod tests;
