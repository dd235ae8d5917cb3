//! A cell's package, and the targets of its imports.
//!
//! Dart reads both from a package configuration (`.dart_tool/package_config.json`, version 2). The
//! configuration that `dart pub get` has written is used if there is one, else one is made. In
//! both, `cbs` is the built-in SDK.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Dependency, Error, uri};

pub(super) const PUBSPEC: &str = "pubspec.yaml";
const CONFIG: &str = ".dart_tool/package_config.json";
/// Name of the built-in package.
const SDK: &str = "cbs";
/// Text of the compiler before the name of a package that it does not find.
const UNKNOWN: &str = "Couldn't resolve the package '";
/// Text of the compiler for a program without a `main`.
const NO_MAIN: &str = "No 'main' method found";

/// True if this package is the SDK, which is built in.
pub(super) fn is_sdk(name: &str) -> bool {
    name == SDK
}

/// Returns the source as Dart will see it: absolute, without links and `..`.
pub(super) fn source(path: &Path) -> Result<PathBuf, Error> {
    let source = fs::canonicalize(path).map_err(|error| Error::files("read", path, &error))?;
    if source.is_file() {
        Ok(source)
    } else {
        Err(Error::source(path, "a folder, not a Dart file with a `main`"))
    }
}

/// Entry of one package in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    root: PathBuf,
    /// The folder of its libraries, from the root: `lib/`.
    libraries: String,
    language: Option<String>,
}

/// The package that a source belongs to, or a source without a package.
#[derive(Clone, Debug)]
pub(super) struct Package {
    root: Option<PathBuf>,
    pubspec: String,
    packages: BTreeMap<String, Entry>,
}

impl Package {
    /// Returns the package of a source: that of the nearest `pubspec.yaml` above it.
    pub(super) fn of(source: &Path, sdk: &Path) -> Result<Self, Error> {
        let root = source
            .ancestors()
            .skip(1)
            .find(|folder| folder.join(PUBSPEC).is_file())
            .map(Path::to_path_buf);
        let pubspec =
            root.as_deref().map_or(Ok(String::new()), |root| read(&root.join(PUBSPEC)))?;
        let mut packages = BTreeMap::new();
        if let Some(root) = &root {
            let name = name(&pubspec)
                .ok_or_else(|| Error::source(&root.join(PUBSPEC), "it has no `name:`"))?;
            packages = configured(root, name)?.unwrap_or_default();
            let own = Entry {
                root: root.clone(),
                libraries: "lib/".into(),
                language: language_version(&pubspec),
            };
            packages.entry(name.to_owned()).or_insert(own);
        }
        let language = read(&sdk.join(PUBSPEC)).ok().and_then(|pubspec| language_version(&pubspec));
        packages.insert(
            SDK.to_owned(),
            Entry { root: sdk.to_path_buf(), libraries: "lib/".into(), language },
        );
        Ok(Self { root, pubspec, packages })
    }

    /// Returns the folder of its `pubspec.yaml`, and the text of that file.
    pub(super) fn root(&self) -> Option<(&Path, &str)> {
        self.root.as_deref().map(|root| (root, self.pubspec.as_str()))
    }

    /// Returns the file that `package:<name>/<path>` means; `None` for a package that is not known,
    /// and for the SDK.
    pub(super) fn library(&self, name: &str, path: &str) -> Option<PathBuf> {
        let entry = self.packages.get(name).filter(|_| name != SDK)?;
        uri::path(path, &uri::path(&entry.libraries, &entry.root)?)
    }

    /// Returns its name and its language version.
    pub(super) fn own(&self) -> Option<(String, Option<String>)> {
        self.root.as_ref()?;
        let name = name(&self.pubspec)?;
        Some((name.to_owned(), self.packages.get(name).and_then(|entry| entry.language.clone())))
    }

    /// Returns the package that a file belongs to, without any files yet; `None` for its own
    /// package, for the SDK and for a file in no package. Of several nested packages it is the
    /// innermost.
    pub(super) fn holder(&self, file: &Path) -> Option<Dependency> {
        let holds = |(name, entry): &(&String, &Entry)| {
            name.as_str() != SDK && file.starts_with(&entry.root)
        };
        let inner = |(_, entry): &(&String, &Entry)| entry.root.components().count();
        let (name, entry) = self.packages.iter().filter(holds).max_by_key(inner)?;
        (self.root.as_ref() != Some(&entry.root)).then(|| Dependency {
            name: name.clone(),
            root: entry.root.clone(),
            libraries: entry.libraries.clone(),
            language: entry.language.clone(),
            files: Vec::new(),
        })
    }

    /// Returns the configuration as Dart reads it.
    pub(super) fn config(&self) -> String {
        let entry = |(name, entry): (&String, &Entry)| {
            let root = format!("{}/", uri::file(&entry.root).trim_end_matches('/'));
            let mut package =
                json!({ "name": name, "rootUri": root, "packageUri": entry.libraries });
            if let (Some(language), Some(package)) = (&entry.language, package.as_object_mut()) {
                package.insert("languageVersion".into(), json!(language));
            }
            package
        };
        json!({ "configVersion": 2, "packages": self.packages.iter().map(entry).collect::<Vec<_>>() }).to_string()
    }

    /// Returns the name of the source's file, or of its package if the file is `main.dart`.
    pub(super) fn program_name(&self, source: &Path) -> String {
        let stem =
            source.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = if stem == "main" { name(&self.pubspec).unwrap_or("main") } else { &stem };
        let plain = |letter: char| {
            if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }
        };
        name.chars().map(plain).take(64).collect()
    }

    /// Returns the compiler's output as an error, with a hint if a package is missing.
    pub(super) fn explain(&self, source: &Path, output: String) -> Error {
        if output.contains(NO_MAIN) {
            return Error::source(
                source,
                "it has no `main`: the source of a cell is the file whose `main` serves it",
            );
        }
        let missing = output.split_once(UNKNOWN).and_then(|(_, rest)| rest.split('\'').next());
        let hint = match (missing, &self.root) {
            (None, _) => String::new(),
            (Some(name), Some(root)) if names(&self.pubspec, name) => {
                format!(
                    "\nhint: `{name}` is listed in {PUBSPEC}: run `dart pub get` in {}",
                    root.display()
                )
            }
            (Some(name), Some(root)) => {
                let pubspec = root.join(PUBSPEC);
                format!(
                    "\nhint: name `{name}` in {}, then run `dart pub get` there",
                    pubspec.display()
                )
            }
            (Some(_), None) => {
                format!(
                    "\nhint: a file without a {PUBSPEC} in a folder above it can import only `package:{SDK}`"
                )
            }
        };
        Error::Compile { file: source.to_path_buf(), output, hint }
    }
}

/// Reads the configuration that `dart pub get` has written for a package: in its folder, or above
/// it for the members of a workspace.
fn configured(root: &Path, name: &str) -> Result<Option<BTreeMap<String, Entry>>, Error> {
    for folder in root.ancestors() {
        let file = folder.join(CONFIG);
        if !file.is_file() {
            continue;
        }
        let found = entries(&file)?;
        let is_ours =
            |entry: &Entry| fs::canonicalize(&entry.root).is_ok_and(|found| found == root);
        if folder == root || found.get(name).is_some_and(is_ours) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn entries(file: &Path) -> Result<BTreeMap<String, Entry>, Error> {
    let bad = |reason: String| Error::source(file, format!("{reason}: run `dart pub get` again"));
    let config: Value =
        serde_json::from_str(&read(file)?).map_err(|error| bad(error.to_string()))?;
    let packages = config
        .get("packages")
        .and_then(Value::as_array)
        .ok_or_else(|| bad("no `packages`".into()))?;
    let folder = file.parent().unwrap_or(file);
    let entry = |package: &Value| {
        let text = |key| package.get(key).and_then(Value::as_str);
        let root = uri::path(text("rootUri")?, folder)?;
        // A root of another kind than a file cannot be read by the compiler either.
        let root = fs::canonicalize(&root).unwrap_or(root);
        let libraries = text("packageUri").unwrap_or("").to_owned();
        Some((
            text("name")?.to_owned(),
            Entry { root, libraries, language: text("languageVersion").map(str::to_owned) },
        ))
    };
    Ok(packages.iter().filter_map(entry).collect())
}

fn read(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|error| Error::files("read", file, &error))
}

/// Returns the `name:` of a pubspec.
fn name(pubspec: &str) -> Option<&str> {
    let value = pubspec.lines().find_map(|line| line.strip_prefix("name:"))?;
    let value = value.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    Some(value).filter(|name| !name.is_empty())
}

/// Sections of a pubspec that name packages.
const DEPENDENCIES: [&str; 3] = ["dependencies", "dev_dependencies", "dependency_overrides"];

/// True if a pubspec has this package among its dependencies. It only looks at the lines.
fn names(pubspec: &str, package: &str) -> bool {
    let mut section = false;
    // Spaces before the names of the section: what is deeper describes one of them.
    let mut indent = None;
    for line in pubspec.lines().filter(|line| !line.trim().is_empty()) {
        let depth = line.len() - line.trim_start().len();
        if depth == 0 {
            section = line.split_once(':').is_some_and(|(key, _)| DEPENDENCIES.contains(&key));
            indent = None;
        } else if section && *indent.get_or_insert(depth) == depth {
            let rest = line.trim_start().strip_prefix(package);
            if rest.is_some_and(|rest| rest.starts_with(':')) {
                return true;
            }
        }
    }
    false
}

/// Returns the language version that the lower bound of a pubspec's `sdk:` means: `^3.5.0` gives
/// `3.5`.
pub(super) fn language_version(pubspec: &str) -> Option<String> {
    pubspec.lines().find_map(|line| {
        let (before, after) = line.split_once("sdk:")?;
        let after = after.split('#').next().unwrap_or_default();
        let number = after
            .find(|letter: char| letter.is_ascii_digit())
            .and_then(|start| after.get(start..))?;
        let mut parts = number.split(|letter: char| !letter.is_ascii_digit());
        let version =
            format!("{}.{}", parts.next()?, parts.next().filter(|minor| !minor.is_empty())?);
        Some(version).filter(|_| !before.contains('#'))
    })
}
