//! The files of the repository.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Folders that hold no source of ours, wherever they stand.
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
    /// From the root of the repository, with `/` between the parts.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl File {
    /// The lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// `path:line`, as editors and terminals open it.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    /// Whether a program wrote it.
    pub fn is_generated(&self) -> bool {
        self.path.split('/').any(|part| part == "generated")
    }

    /// Whether all of it is tests: a file of a `tests/` folder, or one that is named so.
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

/// Every text file whose name ends in one of these, sorted by path; all text files for none.
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
            } else if extensions.is_empty() || extensions.iter().any(|wanted| ends_with(&name, wanted)) {
                // What is not UTF-8 is no source: a golden frame, say.
                let Ok(text) = String::from_utf8(fs::read(&path)?) else { continue };
                let path = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
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
