//! `.cbsignore`: the files of a cell's folder that do not go into its bundle.
//!
//! Each line is a pattern as in a `.gitignore`: `*.csv`, `notes.md` and `data/` match anywhere in
//! the folder, `/data` and `models/large.bin` match from its root. A `*` stands for any characters
//! of one name. A slash at the end means folders only. `#` begins a comment. The other forms of git
//! (`!`, `**`, `?`, `[…]`, `\`) are refused with the line.

use std::{fs, io, path::Path};

/// Name of the file with the patterns.
pub(super) const FILE: &str = ".cbsignore";

/// Patterns of the files that are ignored.
#[derive(Debug, Default)]
pub(super) struct Ignore(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    /// Names with stars, from the root of the folder. It is one name if that matches anywhere.
    names: Vec<String>,
    anywhere: bool,
    folders_alone: bool,
}

impl Ignore {
    /// Reads the patterns of this folder's file. There are none if there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or has a line that is not understood.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let file = folder.join(FILE);
        match fs::read_to_string(&file) {
            Ok(text) => Self::read(&text)
                .map_err(|reason| io::Error::other(format!("{}: {reason}", file.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", file.display()))),
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        // Editors on Windows begin a file with a byte order mark.
        let text = text.trim_start_matches('\u{feff}');
        let lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(Pattern::read).collect::<Result<_, _>>().map(Self)
    }

    /// True if this path, relative to the root, is ignored.
    pub(super) fn has(&self, path: &Path, is_folder: bool) -> bool {
        let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
        self.0.iter().any(|pattern| (is_folder || !pattern.folders_alone) && pattern.fits(&names))
    }
}

impl Pattern {
    fn read(line: &str) -> Result<Self, String> {
        if line.starts_with('!') || line.contains("**") || line.contains(['[', '?', '\\']) {
            return Err(format!("`{line}` is not understood: write names with `*` and `/` alone"));
        }
        let inner = line.trim_end_matches('/');
        let names: Vec<String> =
            inner.trim_start_matches('/').split('/').map(str::to_owned).collect();
        if names.iter().any(|name| name.is_empty() || name == "." || name == "..") {
            return Err(format!("`{line}` names nothing in this folder"));
        }
        Ok(Self { names, anywhere: !inner.contains('/'), folders_alone: line.ends_with('/') })
    }

    fn fits<T: AsRef<str>>(&self, names: &[T]) -> bool {
        // The walk enters no ignored folder, so only the last name is compared.
        let names =
            if self.anywhere { names.last().map_or(names, std::slice::from_ref) } else { names };
        names.len() == self.names.len()
            && self.names.iter().zip(names).all(|(pattern, name)| like(pattern, name.as_ref()))
    }
}

/// True if a name matches the pattern. The text between two stars is matched at its first place,
/// which is enough.
fn like(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = name.split_once(part) else { return false };
        name = after;
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_means_to_git() -> Result<(), String> {
        for (line, path, is_folder, expected) in [
            ("*.csv", "data/a.csv", false, true),
            ("*.csv", "data/a.csv.py", false, false),
            ("a*b*c", "a1b2bc", false, true),
            ("a*b*c", "acb", false, false),
            ("a*a", "a", false, false),
            ("data/", "deep/data", true, true),
            ("data/", "deep/data", false, false),
            ("/data", "deep/data", true, false),
            ("/data", "data", true, true),
            ("models/*.bin", "models/large.bin", false, true),
            ("models/*.bin", "deep/models/large.bin", false, false),
            ("# *.py", "a.py", false, false),
            ("\u{feff}*.csv", "a.csv", false, true),
        ] {
            assert_eq!(
                Ignore::read(line)?.has(Path::new(path), is_folder),
                expected,
                "{line} and {path}"
            );
        }
        for line in ["!a", "**/a", "a[b]", "../a", "/", "a//b"] {
            assert!(Ignore::read(line).is_err(), "{line}");
        }
        Ok(())
    }
}
