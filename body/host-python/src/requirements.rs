//! What a cell asks for beside its file: `requirements.txt`, or the dependencies in `pyproject.toml`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    environment::{EnvironmentError, Packages, ensure, folder, short_hash},
    interpreter::BUILT,
};

/// Prints the dependencies of a `pyproject.toml`, one a line.
const DEPENDENCIES: &str = "import sys, tomllib; project = tomllib.load(open(sys.argv[1], 'rb')).get('project', {}); \
                            print('\\n'.join(project.get('dependencies', [])))";
/// What every environment has in any case, and what the program brings itself.
const OURS: [&str; 3] = ["cbs-sdk", "cbs_sdk", "msgspec"];

/// What a cell needs that its body's environment may not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// The file that says so.
    pub(crate) file: PathBuf,
    /// As pip reads them, one a line.
    lines: Vec<String>,
}

impl Requirements {
    /// What is asked for beside this file; `None`: nothing, or only what every environment has.
    pub(crate) fn beside(file: &Path) -> Result<Option<Self>, String> {
        let folder = file.parent().unwrap_or(Path::new("."));
        let (named, project) = (folder.join("requirements.txt"), folder.join("pyproject.toml"));
        let (file, text) = match fs::read_to_string(&named) {
            Ok(text) => (named, text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && project.is_file() => {
                let text = dependencies(&project)?;
                (project, text)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", named.display())),
        };
        let asked = |line: &&str| !line.is_empty() && !line.starts_with('#') && !is_ours(line);
        let lines: Vec<_> = text.lines().map(str::trim).filter(asked).map(str::to_owned).collect();
        Ok((!lines.is_empty()).then_some(Self { file, lines }))
    }

    /// All that says what is installed, as one text. What is named by a path is another thing in another folder, and
    /// a file of further requirements another when it has changed.
    fn told(&self, from: Option<&Path>) -> String {
        let mut text = self.lines.join("\n");
        if self.lines.iter().any(|line| line.starts_with(['-', '.', '/']) || line.contains("file:")) {
            let folder = std::path::absolute(from.unwrap_or(Path::new("."))).unwrap_or_default();
            text.push('\n');
            text.push_str(&folder.to_string_lossy());
        }
        for file in self.lines.iter().filter_map(|line| further(line)) {
            let file = from.unwrap_or(Path::new(".")).join(file);
            text.push('\n');
            // One that cannot be read is pip's to complain of.
            text.push_str(&fs::read_to_string(file).unwrap_or_default());
        }
        text
    }

    /// An environment that has it all, made if it is not there. Returns its site-packages. Blocks.
    pub(crate) fn install(&self) -> Result<PathBuf, EnvironmentError> {
        let from = self.file.parent().map(Path::to_owned).filter(|folder| !folder.as_os_str().is_empty());
        let place = folder().join(format!("requirements-{}", short_hash(self.told(from.as_deref()).as_bytes())));
        ensure(&place, &Packages { lines: &self.lines, from: from.as_deref() })
    }
}

/// The file that a line of requirements takes others from: `-r more.txt`.
fn further(line: &str) -> Option<&str> {
    let flags = ["--requirement", "--constraint", "-r", "-c"];
    let rest = flags.into_iter().find_map(|flag| line.strip_prefix(flag))?;
    Some(rest.trim_start_matches(['=', ' ', '\t']).trim())
}

fn is_ours(line: &str) -> bool {
    let name = line.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).next().unwrap_or_default();
    OURS.contains(&name.to_ascii_lowercase().as_str())
}

fn dependencies(project: &Path) -> Result<String, String> {
    let wrong = |reason: &dyn std::fmt::Display| format!("{}: {reason}", project.display());
    let mut command = Command::new(BUILT.executable);
    let output = command.args(["-I", "-S", "-X", "utf8", "-c", DEPENDENCIES]).arg(project).output();
    let output = output.map_err(|error| wrong(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(wrong(&said.lines().last().unwrap_or("it cannot be read")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(folder: &Path, more: &str) -> Result<String, Box<dyn std::error::Error>> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("requirements.txt"), "-r more.txt\n")?;
        fs::write(folder.join("more.txt"), more)?;
        let found = Requirements::beside(&folder.join("cell.py"))?.ok_or("nothing was asked for")?;
        Ok(found.told(Some(folder)))
    }

    #[test]
    fn what_is_named_by_its_path_is_another_elsewhere_and_when_it_changes() -> Result<(), Box<dyn std::error::Error>> {
        let place = tempfile::tempdir()?;
        let first = told(&place.path().join("a"), "attrs")?;
        assert_eq!(first, told(&place.path().join("a"), "attrs")?);
        assert_ne!(first, told(&place.path().join("b"), "attrs")?);
        assert_ne!(first, told(&place.path().join("a"), "attrs==25.1.0")?);
        let plain = Requirements { file: "a/requirements.txt".into(), lines: vec!["attrs".to_owned()] };
        assert_eq!(plain.told(Some(place.path())), plain.told(None), "a name is the same everywhere");
        Ok(())
    }
}
