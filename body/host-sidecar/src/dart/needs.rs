//! The dependencies of a cell's code outside of its package, for a machine that has nothing but
//! Dart.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    Error,
    package::{self, Package},
    sources,
};

/// Dependencies of a cell's code beside `package:cbs`, which every body has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DartDependencies {
    /// Name of the cell's own package and its language version; `None` if the source belongs to no
    /// package.
    pub own: Option<(String, Option<String>)>,
    /// Packages that its code imports, and those that they import, in the order of their names.
    pub packages: Vec<Dependency>,
    /// Files that are imported by their paths, and belong to none of the packages.
    pub strays: Vec<PathBuf>,
}

/// A package that is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// Its folder, absolute and without links.
    pub root: PathBuf,
    /// The folder of its libraries, from the root: `lib/`.
    pub libraries: String,
    /// Its language version, such as `3.5`, if it has one.
    pub language: Option<String>,
    /// Its files that are imported, absolute and without links.
    pub files: Vec<PathBuf>,
}

impl Dependency {
    /// True if pub downloaded the package into its cache. Then its files are those of its version,
    /// and never change. Its folder is `hosted/<server>/<name>-<version>`, or
    /// `git/<repository>-<commit>` or a folder below that.
    #[must_use]
    pub fn is_hosted(&self) -> bool {
        let names: Vec<_> = self.root.iter().map(|name| name.to_string_lossy()).collect();
        let version =
            |folder: &str| folder.strip_prefix(&self.name)?.strip_prefix('-')?.chars().next();
        let is_versioned =
            |folder: &str| version(folder).is_some_and(|first| first.is_ascii_digit());
        let is_commit =
            |text: &str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_checkout =
            |folder: &str| folder.rsplit_once('-').is_some_and(|(_, commit)| is_commit(commit));
        matches!(&names[..], [.., hosted, _, folder] if hosted == "hosted" && is_versioned(folder))
            || names
                .iter()
                .zip(names.iter().skip(1))
                .any(|(git, folder)| git == "git" && is_checkout(folder))
    }
}

/// Returns the dependencies of the cell with this source. Runs no Dart: it reads the package
/// configuration that `dart pub get` has written.
///
/// # Errors
/// A file that cannot be read, or an imported package that is unknown or missing, with a hint how
/// to mend it.
pub fn needs(source: &Path) -> Result<DartDependencies, Error> {
    let source = package::source(source)?;
    // The SDK is part of every body, so its folder here does not matter.
    let package = Package::of(&source, Path::new("/"))?;
    let own_root = package.root().map(|(root, _)| root.to_path_buf());
    let read = sources::read(&source, &package)?;
    let is_own =
        |file: &Path| own_root.as_deref().map_or(file == source, |root| file.starts_with(root));
    check_imports(read.iter().filter(|(file, _)| is_own(file)), &package, own_root.as_deref())?;
    let mut packages: BTreeMap<String, Dependency> = BTreeMap::new();
    let mut strays = BTreeSet::new();
    for file in read.into_keys() {
        match package.holder(&file) {
            Some(found) => {
                let entry = packages.entry(found.name.clone()).or_insert(found);
                entry.files.push(file);
            }
            None if is_own(&file) => {}
            None => _ = strays.insert(file),
        }
    }
    Ok(DartDependencies {
        own: package.own(),
        packages: packages.into_values().collect(),
        strays: strays.into_iter().collect(),
    })
}

/// Checks that every package that the cell's own files import is known and exists. Only lines that
/// begin with `import` or `export` count: an example in a comment does not matter.
fn check_imports<'a>(
    files: impl Iterator<Item = (&'a PathBuf, &'a String)>,
    package: &Package,
    root: Option<&Path>,
) -> Result<(), Error> {
    let is_import = |line: &&str| ["import ", "export "].iter().any(|word| line.starts_with(word));
    for (file, text) in files {
        for line in text.lines().filter(is_import) {
            let uri = line.split(['\'', '"']).nth(1).and_then(|uri| uri.strip_prefix("package:"));
            let Some((name, path)) = uri.and_then(|uri| uri.split_once('/')) else { continue };
            let help = match root {
                Some(root) => {
                    format!(
                        "name it in {}, and run `dart pub get` there",
                        root.join(package::PUBSPEC).display()
                    )
                }
                None => format!("give the cell a folder and a {}", package::PUBSPEC),
            };
            match package.library(name, path) {
                _ if package::is_sdk(name) => {}
                None => {
                    return Err(Error::source(
                        file,
                        format!("`package:{name}` is imported, but not found: {help}"),
                    ));
                }
                Some(library) if !library.is_file() => {
                    let reason =
                        format!("`package:{name}/{path}` is not at {}: {help}", library.display());
                    return Err(Error::source(file, reason));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_pubs_cache_is_known_by_its_place() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (root, expected) in [
            ("/home/me/.pub-cache/hosted/registry/words-1.2.3", true),
            ("/home/me/.pub-cache/hosted/registry/words-more", false),
            ("/home/me/hosted/words-1.2.3", false),
            ("/home/me/git/words-dart", false),
            ("/home/me/git/house/words-2", false),
            (&format!("/home/me/.pub-cache/git/words-{commit}"), true),
            (&format!("/home/me/.pub-cache/git/house-{commit}/packages/words"), true),
        ] {
            let found = Dependency {
                name: "words".to_owned(),
                root: root.into(),
                libraries: "lib/".to_owned(),
                language: None,
                files: vec![],
            };
            assert_eq!(found.is_hosted(), expected, "{root}");
        }
    }
}
