//! The files of the repository.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Names of folders that contain no source of this project, at any place.
const SKIPPED: &[&str] = &[
    ".cbs",
    ".dart_tool",
    ".git",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".venv",
    "__pycache__",
    "node_modules",
    "target",
];

/// One text file.
#[derive(Debug, Clone)]
pub struct File {
    /// Path from the root of the repository, with `/` between the parts.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl File {
    /// The lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Returns `path:line`, a form that editors and terminals open.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    /// True if a program wrote the file.
    pub fn is_generated(&self) -> bool {
        self.path.split('/').any(|part| part == "generated")
    }

    /// True if the whole file is tests: it is in a `tests/` folder, or has such a name.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        self.path.split('/').any(|part| part == "tests")
            || stem == "tests"
            || stem.ends_with("_tests")
            || stem.ends_with("_test")
            || stem.starts_with("test_")
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Reads every text file with one of these extensions, sorted by path; without extensions, all text
/// files.
pub fn files(extensions: &[&str]) -> io::Result<Vec<File>> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if extensions.is_empty()
                || extensions.iter().any(|wanted| ends_with(&name, wanted))
            {
                // A file that is not UTF-8 is no source, for example a golden frame.
                let Ok(text) = String::from_utf8(fs::read(&path)?) else { continue };
                let path =
                    path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn ends_with(name: &str, extension: &str) -> bool {
    name.strip_suffix(extension).is_some_and(|stem| stem.ends_with('.'))
}
